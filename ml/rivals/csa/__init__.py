"""CSA as its authors published it: two inpainting networks against two discriminators.

Liu, Jiang, Xiao and Yang, "Coherent Semantic Attention for Image Inpainting", ICCV 2019. The
rough and the refinement network and the CSA layer are those of the paper's method, which took
them from here; what sets this apart is the adversarial training of pictures and features, and
that nothing was learnt before it.
"""
