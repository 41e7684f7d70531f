"""What an encoder is worth in detection and segmentation: torchvision's detectors on its weights, beside random ones.

    python -m lookalike.transfer detect MODEL DATA
    python -m lookalike.transfer segment MODEL DATA --masks FOLDER

MODEL is what ``lookalike export`` wrote, another file of a ResNet by torchvision's names, or ``random``. It needs the extra `transfer`:
``pip install './bindings/python[transfer]'``. The guide ``docs/guides/transfer.md`` tells more.
"""
