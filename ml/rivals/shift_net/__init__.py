"""Shift-Net: a U-Net that fills a hole with the nearest known features of the same picture.

Yan, Li, Li, Zuo and Shan, "Shift-Net: Image Inpainting via Deep Feature Rearrangement", ECCV
2018. The decoder's guess of a hidden position chooses the known position whose encoder feature
is shifted there; a guidance loss makes the guess resemble the encoder's feature of the whole
picture.
"""
