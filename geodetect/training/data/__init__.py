"""Training data: chips, augmentation, holdout split, hard negatives."""
