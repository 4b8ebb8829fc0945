"""A memory of normal features, at the resolution and depth that suit the product.

Roth et al., "Towards Total Recall in Industrial Anomaly Detection" (PatchCore), CVPR 2022, on
the same backbone as Eq. 7; distances are taken relative to what is usual at each position.
"""
