// Files out of a drop or a file field, with the path inside a dropped folder.
const LITTER = /(^|\/)(\.DS_Store|Thumbs\.db|desktop\.ini|\._[^/]*)$|(^|\/)__MACOSX\//i;

function asFile(entry, path) {
  return new Promise((resolve) => entry.file((file) => resolve([{ file, path }]), () => resolve([])));
}

async function readFolder(entry, path) {
  const reader = entry.createReader();
  const found = [];
  for (;;) { // a folder is read in portions of about a hundred
    const part = await new Promise((resolve) => reader.readEntries(resolve, () => resolve([])));
    if (!part.length) break;
    for (const child of part) found.push(...(await readEntry(child, `${path}/${child.name}`)));
  }
  return found;
}

const readEntry = (entry, path) => (entry.isDirectory ? readFolder(entry, path) : asFile(entry, path));
const clean = (found) => found.filter(({ path }) => !LITTER.test(path));

/** `[{file, path}]` of a drop, folders opened. */
export async function dropped(transfer) {
  const entries = [...transfer.items].filter((item) => item.kind === "file")
    .map((item) => ({ entry: item.webkitGetAsEntry?.(), file: item.getAsFile() })); // before the first await
  const found = [];
  for (const { entry, file } of entries)
    found.push(...(entry ? await readEntry(entry, entry.name) : file ? [{ file, path: file.name }] : []));
  return clean(found);
}

export const chosen = (field) => clean([...field.files].map((file) => ({ file, path: file.webkitRelativePath || file.name })));

/** The same file gets the same key, so that a repeated send finds its receipt. (cyrb53, twice) */
export function keyOf({ file, path }) {
  const text = `${path}|${file.size}|${file.lastModified}`;
  return [7, 77].map((seed) => hash(text, seed)).join("");
}

function hash(text, seed) {
  let a = 0xdeadbeef ^ seed, b = 0x41c6ce57 ^ seed;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    a = Math.imul(a ^ code, 2654435761);
    b = Math.imul(b ^ code, 1597334677);
  }
  a = Math.imul(a ^ (a >>> 16), 2246822507) ^ Math.imul(b ^ (b >>> 13), 3266489909);
  b = Math.imul(b ^ (b >>> 16), 2246822507) ^ Math.imul(a ^ (a >>> 13), 3266489909);
  return (4294967296 * (2097151 & b) + (a >>> 0)).toString(16).padStart(14, "0");
}
