"""What a training leaves behind so that it can go on: checkpoints, shards, and of whose data."""
