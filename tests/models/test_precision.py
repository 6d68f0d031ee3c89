import pytest
import torch

from facever.errors import ConfigError
from facever.models.precision import autocast, choose_device, exact_fp32, fastest_layout


def test_devices():
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(ConfigError, match=r"^unknown device 'gpu' \(allowed: auto, cpu, cuda,"):
        choose_device("gpu")
    with pytest.raises(ConfigError, match=r"device 'cuda:99'.*use `cpu`"):
        choose_device("cuda:99")


def test_autocast():
    a = torch.ones(2, 2)
    for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        with autocast(precision, torch.device("cpu")):
            assert (a @ a).dtype == dtype


def test_channels_last_only_where_it_is_safe_and_fast(make_embedder):
    cpu = torch.device("cpu")
    dense, depthwise = make_embedder(), make_embedder(backbone="test_efficientnet")
    assert fastest_layout(dense, "fp32", cpu) == torch.contiguous_format
    assert fastest_layout(dense, "bf16", cpu) == torch.channels_last
    assert fastest_layout(depthwise, "bf16", cpu) == torch.contiguous_format
    assert fastest_layout(depthwise, "fp32", torch.device("cuda")) == torch.channels_last


def test_a_low_precision_of_training_is_lifted_and_restored():
    torch.manual_seed(0)
    a, b = torch.randn(64, 64), torch.randn(64, 64)
    exact = a @ b
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        with exact_fp32():
            assert torch.get_float32_matmul_precision() == "highest"
            assert torch.backends.cudnn.conv.fp32_precision == "ieee"
            assert torch.equal(a @ b, exact)
        assert torch.get_float32_matmul_precision() == "medium"
        assert torch.backends.cudnn.conv.fp32_precision == "tf32"
    finally:
        torch.set_float32_matmul_precision(before)
