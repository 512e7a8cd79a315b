"""Fine-tune, pretrain, measure: the training stack, run as `python -m training.NAME`."""
