#!/bin/sh
# Finds a Chromium for the browser tests; installs the system's package when it may.
for name in chromium chromium-browser google-chrome; do
	if command -v "$name" >/dev/null 2>&1; then exit 0; fi
done
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
	echo "Installing Chromium for the browser tests"
	(apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends chromium) \
		>/dev/null 2>&1
fi
if command -v chromium >/dev/null 2>&1; then exit 0; fi
echo "No Chromium on this machine: the browser tests are skipped. Install the package 'chromium' to run them."
