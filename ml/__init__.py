"""Learning and scoring; knows nothing of the app and can be used alone: `python -m ml`."""

import os

# Threads that wait for each other at the end of an operation should sleep, not spin: where another
# process wants the same core a spinning thread keeps the one it waits for from running. Read when
# PyTorch's OpenMP is loaded, so before the first `import torch`; on two cores with other work a
# picture took 1.8 to 2.7 s to score instead of 7 to 14 s.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
