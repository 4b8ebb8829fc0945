"""The model folder: everything that a verdict needs, and how it came about."""

from __future__ import annotations

import importlib.metadata
import shutil
from pathlib import Path
from typing import Any

from torch import Tensor

from ml.calibration import smallest_alpha
from ml.checkpoints import sync, write_tensors
from ml.data.symmetries import estimate, proposed
from ml.features import FeatureExtractor
from ml.scoring.evidence import Engine
from ml.scoring.model_folder import write_manifest
from ml.train.calibrate import Calibration, reference_ids, restored_ids
from ml.train.context import Context


def write_model(
    context: Context,
    engine: Engine,
    encoder: dict[str, Tensor] | None,
    found: Calibration,
    target: FeatureExtractor | None,
    memory_note: dict[str, Any] | None,
) -> Path:
    """Write `model/` aside and rename it, so that it is whole or absent."""
    final, temporary = context.out / "model", context.out / ".model.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    if engine.model is not None:
        write_tensors(temporary / "inpainting.safetensors", engine.model.state_dict())
    if encoder is not None:
        write_tensors(temporary / "encoder.safetensors", encoder)
    if engine.memory is not None:
        write_tensors(temporary / "memory.safetensors", engine.memory.tensors())
    if engine.zone is not None:
        write_tensors(temporary / "zone.safetensors", {"zone": engine.zone})
    write_tensors(temporary / "normalisation.safetensors", found.decision.norm_tensors())
    if context.state.aligned:
        shutil.copyfile(context.out / "alignment.safetensors", temporary / "alignment.safetensors")
    manifest = _manifest(context, engine, found, target, memory_note)
    write_manifest(temporary, manifest)
    shutil.rmtree(final, ignore_errors=True)
    temporary.rename(final)
    sync(context.out)
    return final


def _manifest(
    context: Context,
    engine: Engine,
    found: Calibration,
    target: FeatureExtractor | None,
    memory_note: dict[str, Any] | None,
) -> dict[str, Any]:
    state, preset, job = context.state, context.preset, context.job
    scores = found.scores["decision"]
    return {
        "method": context.method.name,
        "preset": preset.name,
        "image_size": preset.image_size,
        "seed": state.seed,
        "alignment": {"used": state.aligned, "ratio": state.alignment},
        "mask": {
            "cells": list(preset.cells),
            "subsets": preset.subsets,
            "seed": state.seed,
            "zones": job.repair_zones,
        },
        "tiles": context.tiling.as_json() if context.tiling else None,
        "symmetries": _symmetries(context),
        "scoring_backbone": engine.extractor.describe(),
        "consistency_backbone": target.describe() if target else None,
        "map_levels": ["colour", *engine.extractor.stage_names],
        "memory": memory_note,
        "decision": found.decision.as_json(),
        "choice": found.choice.tables | _views(memory_note),
        "normalisation": {
            "normals": "held_out" if state.held_out else "train",
            "n": len(reference_ids(context)),
            "restored": 0 if context.tiling else len(restored_ids(context)),
        },
        "steps": state.plan,
        "step_seconds": state.step_seconds,
        "stage_seconds": {name: round(s, 2) for name, s in state.seconds.items()},
        "budget_minutes": job.budget_minutes,
        "parameters": sum(p.numel() for p in engine.model.parameters()) if engine.model else 0,
        "images": {
            "train": len(state.train),
            "held_out": len(state.held_out),
            "calibration": len(state.calibration),
            "excluded": len(state.excluded),
        },
        "calibration": {
            "n": len(scores),
            "scores": scores,
            "parts": {k: v for k, v in found.scores.items() if k != "decision"},
            "peaks": found.peaks,
            "alpha_min": smallest_alpha(len(scores)),
        },
        "scale": found.scale,
        "images_per_second": round(found.images_per_second, 3),
        "metrics": {},
        "versions": {
            name: importlib.metadata.version(name) for name in ("torch", "torchvision", "pillow")
        },
    }


def _views(memory_note: dict[str, Any] | None) -> dict[str, Any]:
    return {"memory_view": memory_note["candidates"]} if memory_note else {}


def _symmetries(context: Context) -> dict[str, Any]:
    """What was declared, and what the normals show by themselves."""
    found = estimate(context.pictures.subset(context.state.train).pixels, context.job.seed)
    return {
        "declared": list(context.job.symmetries),
        "proposed": proposed(found),
        "auroc": {name: round(value, 3) for name, value in found.items()},
    }
