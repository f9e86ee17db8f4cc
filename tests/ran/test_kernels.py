"""Are the names of CUDA kernels read for what they say, and for no more?"""

import pytest

from convbench.ran.kernels import MOST_NAME, read_kernel


@pytest.mark.parametrize(
    ("name", "role", "algorithm", "arithmetic"),
    [
        (
            "sm80_xmma_fprop_implicit_gemm_tf32f32_tf32f32_f32_nhwckrsc_nchw_tilesize128x64x16_stage4_g1_tensor16x8x8",
            "convolution",
            "implicit GEMM",
            "TF32",
        ),
        (
            "sm90_xmma_fprop_implicit_gemm_f16f16_f16f32_f32_nhwckrsc_nhwc_tilesize128x128x64_execute_kernel__5x_cudnn",
            "convolution",
            "implicit GEMM",
            "fp16",
        ),
        (
            "void implicit_convolve_sgemm<float, float, 1024, 5, 5, 3, 3, 3, 1, false, false, true>(int, int)",
            "convolution",
            "implicit GEMM",
            "fp32",
        ),
        (
            "void cudnn::winograd_nonfused::winogradForwardData4x4<float, float>(cudnn::WinogradDataParams<float>)",
            "convolution",
            "Winograd",
            "fp32",
        ),
        (
            "_ZN17cutlass__5x_cudnn6KernelI66cutlass_tensorop_s1688fprop_optimized_tf32_128x64_16x6_nhwc_align4EEv",
            "convolution",
            "implicit GEMM",
            "TF32",
        ),
        (
            "void fft2d_r2c_32x32<float, false, 5u, false>(float2*, float const*, int, int)",
            "convolution",
            "FFT",
            "fp32",
        ),
        (
            "void at::native::(anonymous namespace)::conv_depthwise2d_forward_kernel<3, float, int>(at::Generic)",
            "convolution",
            "depthwise, direct",
            "fp32",
        ),
        (
            "void at::native::im2col_kernel<float>(long, float const*, long, long, float*)",
            "convolution",
            "im2col",
            "fp32",
        ),
        (
            "void cudnn::engines_precompiled::nchwToNhwcKernel<float, float, float, false, true>(int)",
            "layout change",
            "",
            "",
        ),
        ("Memset (Device)", "zeroing", "", ""),
        ("void at::native::vectorized_elementwise_kernel<4, at::native::FillFunctor<float>>(int)", "zeroing", "", ""),
        ("ampere_scudnn_128x64_relu_medium_nn_v1", "convolution", "direct", "fp32"),
        ("something_new_kernel", "other", "", ""),
    ],
)
def test_a_name_says_what_it_says(name: str, role: str, algorithm: str, arithmetic: str) -> None:
    found = read_kernel(name)
    assert (found.role, found.algorithm, found.arithmetic) == (role, algorithm, arithmetic)
    assert len(found.short) <= MOST_NAME
    assert "<" not in found.short
