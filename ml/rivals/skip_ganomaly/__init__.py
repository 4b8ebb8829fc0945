"""Skip-GANomaly: a U-Net that reproduces the whole picture, trained against a discriminator.

Akçay, Atapour-Abarghouei and Breckon, "Skip-GANomaly: Skip Connected and Adversarially Trained
Encoder-Decoder Anomaly Detection", IJCNN 2019. Nothing is masked: a defect is what the network,
trained on normals alone, reproduces badly, in colours and in the discriminator's features.
"""
