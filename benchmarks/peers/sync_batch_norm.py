"""Batch norm over the samples of all processes, for CPUs, where PyTorch's own SyncBatchNorm refuses to run.

The formulas, with means over the samples of all processes:

    y  = weight * xhat + bias,  xhat = (x - mean) * rstd,  rstd = 1 / sqrt(variance + epsilon)
    dx = weight * rstd * (dy - mean(dy) - xhat * mean(dy * xhat))

Ioffe and Szegedy, arXiv:1502.03167, section 3. Sums and counts travel, so processes may have different numbers of
samples. One all-reduce in each direction.
"""

import torch
from torch import distributed, nn
from torch.nn import functional


class SyncBatchNormFunction(torch.autograd.Function):
    """y, and the global mean, biased variance and count."""

    @staticmethod
    def forward(ctx, x, weight, bias, epsilon):
        # x: [N, C, ...]
        C = x.shape[1]
        over = [dimension for dimension in range(x.dim()) if dimension != 1]
        count = x.new_tensor([x.numel() // C])
        sums = torch.cat([x.sum(over), x.square().sum(over), count])
        distributed.all_reduce(sums)
        count = sums[2 * C]
        mean = sums[:C] / count
        variance = (sums[C:2 * C] / count - mean.square()).clamp_(min=0)
        ctx.save_for_backward(x, weight, mean, variance, count)
        ctx.epsilon = epsilon
        ctx.mark_non_differentiable(mean, variance, count)
        # With given statistics, PyTorch's kernel for evaluation is the normalization, in one pass.
        return functional.batch_norm(x, mean, variance, weight, bias, False, 0.0, epsilon), mean, variance, count

    @staticmethod
    def backward(ctx, dy, *_):
        x, weight, mean, variance, count = ctx.saved_tensors
        # The parameters' gradients are the sums that dx needs: sum(dy * xhat) and sum(dy), of this process.
        _, dweight, dbias = torch.ops.aten.native_batch_norm_backward(
            dy, x, weight, mean, variance, None, None, False, ctx.epsilon, [False, True, True])
        sums = torch.cat([dbias, dweight])
        distributed.all_reduce(sums)
        mean_dy, mean_dy_xhat = (sums / count).chunk(2)
        # dx as scale * dy + slope * x + offset, which takes two passes and no temporaries.
        rstd = (variance + ctx.epsilon).rsqrt()
        scale = weight * rstd
        slope = -scale * mean_dy_xhat * rstd
        offset = -scale * mean_dy - slope * mean
        scale, slope, offset = (values.view(1, -1, *[1] * (x.dim() - 2)) for values in (scale, slope, offset))
        dx = torch.addcmul(offset, x, slope).addcmul_(dy, scale)
        # DistributedDataParallel sums the parameters' gradients, as it does all others'.
        return dx, dweight, dbias, None


class SyncBatchNorm(nn.BatchNorm2d):
    """Takes the place of BatchNorm1d and BatchNorm2d."""

    def _check_input_dim(self, x):
        if x.dim() not in (2, 4):
            raise ValueError(f"expected [N, C] or [N, C, H, W], found {list(x.shape)}")

    def forward(self, x):
        self._check_input_dim(x)
        if not self.training:
            return super().forward(x)
        y, mean, variance, count = SyncBatchNormFunction.apply(x, self.weight, self.bias, self.eps)
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
        return y


def synchronize(module):
    """Replaces every batch norm inside the module by a synchronized one; its parameters and statistics stay."""
    for name, child in module.named_children():
        if isinstance(child, (nn.BatchNorm1d, nn.BatchNorm2d)):
            replacement = SyncBatchNorm(child.num_features, child.eps, child.momentum).to(child.weight.dtype)
            replacement.load_state_dict(child.state_dict())
            setattr(module, name, replacement)
        else:
            synchronize(child)
    return module
