"""Scoring with a trained model: what the app and the command line call."""

from ml.scoring.heatmap import render_heatmap
from ml.scoring.regions import Region
from ml.scoring.scorer import ModelError, ScoredPicture, Scorer

__all__ = ["ModelError", "Region", "ScoredPicture", "Scorer", "render_heatmap"]
