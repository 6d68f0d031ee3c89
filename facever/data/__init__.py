"""Manifests, readers, decoding, augmentation, samplers and loaders."""
