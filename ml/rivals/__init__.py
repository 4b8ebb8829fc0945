"""The rivals of the paper's Table I, trained and scored by the same code path as its method.

One folder a method, with the same files in each; what they share lies beside the folders.
Sizes and learning rates are the preset's, as for every method; weights of the losses, momenta
of the optimiser and first weights are as published. None has a part of the other methods: no
self-supervised start, no mean picture as prior, no loss on the scoring features.
"""
