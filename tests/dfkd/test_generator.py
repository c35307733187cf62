"""The attention generator (section 4.1, Table 6)."""

import pytest
import torch
from torch.nn import functional as F

from dfkd.config import GeneratorConfig, SpatialAttentionConfig
from dfkd.models.generator import AttentionGenerator, SpatialAttention, _AttendChannels


def features(size, channels=16):
    return torch.randn(2, channels, size, size, generator=torch.Generator().manual_seed(0))


def spatial(axis="channels", weight=0.05, channels=16, reduction=8):
    return SpatialAttention(channels, weight=weight, reduction=reduction, softmax_axis=axis)


def generator(weight=0.05, *, size=16, seed=0):
    config = GeneratorConfig(noise_size=8, attention=SpatialAttentionConfig(weight=weight))
    return AttentionGenerator(config, image_size=size, seed=seed)


@pytest.mark.parametrize("size", [2, 3, 4, 7, 8, 14, 16, 28, 32, 56, 112])
def test_attention_keeps_the_shape_at_every_size(size):
    assert spatial()(features(size)).shape == (2, 16, size, size)


def test_unpooling_puts_each_value_back_where_pooling_found_it():
    attention, seen = spatial(), {}
    for name in ("pool", "unpool"):
        attention.get_submodule(name).register_forward_hook(
            lambda module, args, output, name=name: seen.update({name: (args, output)})
        )
    attention(features(8))
    (encoded,), (pooled, found) = seen["pool"]
    (values, indices), unpooled = seen["unpool"]
    assert torch.equal(indices, found)
    assert torch.equal(encoded.flatten(2).gather(2, found.flatten(2)), pooled.flatten(2))
    assert torch.equal(unpooled.flatten(2).gather(2, indices.flatten(2)), values.flatten(2))
    torch.testing.assert_close(unpooled.sum(), values.sum())  # and zero everywhere else: ReLU leaves nothing negative


@pytest.mark.parametrize("size", [7, 8])
def test_the_scores_are_those_of_equations_4_and_5(size):
    module, x = spatial(channels=16, reduction=4), features(size)
    source = torch.Generator().manual_seed(1)
    w = dict(module.named_parameters())
    for p in w.values():  # batch norm starts at 1 and 0, where forgetting it would not be seen
        torch.nn.init.normal_(p, std=0.5, generator=source)

    def relu_bn(values, name):
        return F.batch_norm(values, None, None, w[f"{name}.1.weight"], w[f"{name}.1.bias"], training=True).relu()

    lowered = F.conv2d(x, w["reduce.weight"], w["reduce.bias"])  # A_d, of C / r = 4 channels
    psi = relu_bn(F.conv2d(lowered, w["encode.0.weight"], padding=1), "encode")
    pooled, indices = F.max_pool2d(psi, 2, return_indices=True)
    gamma = relu_bn(F.conv2d(pooled, w["bottom.0.weight"], padding=1), "bottom")
    risen = relu_bn(F.conv_transpose2d(gamma, w["rise.0.weight"], padding=1), "rise")
    unpooled = F.max_unpool2d(risen, indices, 2, output_size=(size, size))  # Psi'
    decoded = relu_bn(F.conv_transpose2d(unpooled, w["decode.0.weight"], padding=1), "decode")
    expected = F.conv2d(decoded, w["restore.weight"], w["restore.bias"])
    assert [t.shape[1] for t in (lowered, psi, gamma, risen, decoded, expected)] == [4, 8, 16, 8, 4, 16]
    torch.testing.assert_close(module.scores(x), expected)


@pytest.mark.parametrize(("axis", "dims"), [("channels", 1), ("positions", (2, 3))])
def test_softmax_sums_to_one_over_the_named_axis(axis, dims):
    attention = spatial(axis).attention(features(8))
    total = attention.sum(dim=dims)
    assert (attention > 0).all()
    torch.testing.assert_close(total, torch.ones_like(total))


@pytest.mark.parametrize("weight", [0.05, 2.0])
def test_output_is_the_features_plus_lambda_times_the_attended_features(weight):
    module, x = spatial(weight=weight), features(8)
    torch.testing.assert_close(module(x), x + weight * module.attention(x) * x)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_the_gradient_over_channels_is_that_of_softmax_and_product(memory_format):
    def leaves():
        source = torch.Generator().manual_seed(0)
        shape = (2, 5, 3, 4)
        pair = [torch.randn(shape, generator=source, dtype=torch.float64) for _ in range(2)]
        return [x.to(memory_format=memory_format).requires_grad_() for x in pair]

    ours, theirs = leaves(), leaves()
    output = _AttendChannels.apply(*ours, 0.3)
    expected = theirs[0] * (1 + 0.3 * theirs[1].softmax(dim=1))
    torch.testing.assert_close(output, expected)
    upstream = torch.randn(output.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    output.backward(upstream)
    expected.backward(upstream)
    for x, y in zip(ours, theirs, strict=True):
        torch.testing.assert_close(x.grad, y.grad)
    assert torch.autograd.gradcheck(lambda features, scores: _AttendChannels.apply(features, scores, 0.3), leaves())


def test_in_bfloat16_the_output_is_of_the_features_type():
    module, x = spatial(weight=1.0), features(8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = module(x.bfloat16())
    assert output.dtype == torch.bfloat16
    # Two roundings to 8 bits, of the softmax and of the sum; lambda = 1 makes them visible.
    torch.testing.assert_close(output.float(), module(x).detach(), rtol=0.02, atol=0.02)


def test_attention_has_the_convolutions_of_table_6():
    # C = 64, r = 8, c = 8: 1x1 C-c, 3x3 c-2c, 3x3 2c-4c, 3x3 4c-2c, 3x3 2c-c, 1x1 c-C; the 1x1 ones have a bias,
    # the 3x3 ones a batch norm of two parameters a channel.
    c = 8
    expected = (64 * c + c) + 9 * (2 + 8 + 8 + 2) * c * c + 2 * (2 + 4 + 2 + 1) * c + (c * 64 + 64)
    assert sum(p.numel() for p in spatial(channels=64).parameters()) == expected


def test_without_weight_no_attention_exists_and_the_rest_starts_alike():
    without, with_it = generator(0.0), generator(0.05)
    assert not any(isinstance(module, SpatialAttention) for module in without.modules())
    assert sum(isinstance(module, SpatialAttention) for module in with_it.modules()) == 4
    theirs = with_it.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in without.state_dict().items())
    assert any(name.startswith("attend.") for name in theirs.keys() - without.state_dict().keys())


@pytest.mark.parametrize("size", [16, 32, 48, 64, 224])
def test_images_have_the_asked_size_and_lie_in_the_range_of_tanh(size, monkeypatch):
    if size == 224:  # 64 images of it take ten seconds
        monkeypatch.setattr(AttentionGenerator, "_spread_pixels", lambda self, noise: None)
    with torch.no_grad():
        images = generator(size=size)(10 * torch.randn(2, 8))
    assert images.shape == (2, 3, size, size)
    assert images.abs().max() <= 1


def test_at_224_pixels_it_has_the_papers_size_without_attention():
    # FC: 512 * 14^2 * (256 + 1) = 25.8 M. Deconvolutions 9 * (512*256 + 256*128 + 128*64 + 64*64) with biases
    # 256 + 128 + 64 + 64; 9 * 64 * 3 + 3 for the image; batch norm 2 * 512. 27.4 M in all.
    with torch.device("meta"):
        network = AttentionGenerator(
            GeneratorConfig(attention=SpatialAttentionConfig(weight=0)), image_size=224, seed=0
        )
    count = 512 * 14**2 * 257 + 9 * (512 * 256 + 256 * 128 + 128 * 64 + 64 * 64) + 512 + 1731 + 1024
    assert sum(p.numel() for p in network.parameters()) == count == 27_378_883


@pytest.mark.parametrize("size", [16, 32])
def test_the_first_images_are_spread_over_the_range(size):
    network = generator(0.0, size=size)
    with torch.no_grad():
        pixels = network(torch.randn(64, 8, generator=torch.Generator().manual_seed(0))).atanh()
    # Mean 0 and standard deviation 1 on the noise that it was scaled with; near that on other noise.
    assert pixels.mean().abs() < 0.2
    assert 0.75 < pixels.std() < 1.25


def test_batch_norm_in_the_blocks_keeps_the_images_apart_and_starts_with_the_same_weights():
    plain = generator(0.0)
    config = GeneratorConfig(noise_size=8, block_normalisation="batch", attention=SpatialAttentionConfig(weight=0))
    normalised = AttentionGenerator(config, image_size=16, seed=0)
    assert torch.equal(plain.upsample[3].bias, normalised.upsample[3].bias)
    noise = torch.randn(64, 8, generator=torch.Generator().manual_seed(0))
    features: dict[str, torch.Tensor] = {}
    for name, network in (("plain", plain), ("normalised", normalised)):
        network.upsample[3].register_forward_hook(
            lambda module, given, output, name=name: features.update({name: output})
        )
        with torch.no_grad():
            network(noise)
    # Spectral normalisation shrinks what depends on the noise block by block and leaves the biases: the share of the
    # last block's variation that lies between images is then small.
    shares = {name: (x.std(dim=0).mean() / x.std()).item() for name, x in features.items()}
    assert shares["normalised"] > 2 * shares["plain"]


@pytest.mark.parametrize("slope", [0.2, 0.01])
def test_what_is_negative_leaves_a_block_times_the_slope(slope):
    config = GeneratorConfig(noise_size=8, negative_slope=slope, attention=SpatialAttentionConfig(weight=0))
    network, seen = AttentionGenerator(config, image_size=16, seed=0), {}
    network.upsample[0].register_forward_hook(lambda module, args, output: seen.update(before=output))
    network.upsample[1].register_forward_hook(lambda module, args, output: seen.update(after=args[0]))
    with torch.no_grad():
        network(torch.randn(4, 8, generator=torch.Generator().manual_seed(0)))
    before, after = seen["before"], seen["after"]
    assert (before < 0).any()
    torch.testing.assert_close(after, torch.where(before < 0, slope * before, before))


def test_a_batch_of_another_noise_size_is_an_error():
    with pytest.raises(RuntimeError):
        generator()(torch.randn(2, 9))


def test_deconvolutions_have_spectral_norm_one():
    network = generator()
    with torch.no_grad():
        for _ in range(40):  # each pass in training mode takes one step of the power iteration
            network(torch.randn(2, 8))
    for deconvolution in network.upsample:
        # Of the matrix (out, in * 9): a transposed convolution's second axis is its output.
        matrix = deconvolution.weight.detach().transpose(0, 1).flatten(1)
        assert torch.linalg.matrix_norm(matrix @ matrix.T, ord=2) == pytest.approx(1.0, abs=0.1)


def test_every_parameter_is_reached_by_a_gradient():
    network = generator()
    # Under spectral normalisation a weight's scale does not matter, but its direction does.
    (network(torch.randn(4, 8)) * torch.randn(4, 3, 16, 16)).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_other_seeds_start_elsewhere():
    assert torch.equal(generator(seed=0).project.weight, generator(seed=0).project.weight)
    assert not torch.equal(generator(seed=0).project.weight, generator(seed=1).project.weight)
