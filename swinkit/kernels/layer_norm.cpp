// Layer norm over channels, with what stands around it in a Swin block: scale and offset where they are not folded away, and the
// residual sum of version 2, residual + LN(x). Sums are float32; tokens are float32 or bfloat16; C is a multiple of 16.
#include "vectors.hpp"

namespace {

template <typename T>
void layer_norm(const T* x, const float* weight, const float* bias, const T* residual, float eps, int64_t rows, int C, T* out, int threads) {
    in_parallel(rows, threads, [&](int64_t first, int64_t last, int) {
        std::vector<float> row(C);
        for (int64_t r = first; r < last; ++r) {
            const T* from = x + r * C;
            vec total = {};
            for (int c = 0; c < C; c += LANES) {
                const vec value = load(from + c);
                store(&row[c], value);
                total += value;
            }
            const float mean = sum(total) / C;
            vec squares = {};
            for (int c = 0; c < C; c += LANES) {
                const vec value = load(&row[c]) - mean;
                store(&row[c], value);
                squares += value * value;
            }
            const float scale = 1 / std::sqrt(sum(squares) / C + eps);
            for (int c = 0; c < C; c += LANES) {
                vec value = load(&row[c]) * scale;
                if (weight) value = value * load(weight + c) + load(bias + c);
                if (residual) value += load(residual + r * C + c);
                store(out + r * C + c, value);
            }
        }
    });
}

}  // namespace

extern "C" void layer_norm(int half, const void* x, const float* weight, const float* bias, const void* residual, float eps,
                           int64_t rows, int C, void* out, int threads) {
    if (half) layer_norm(static_cast<const bfloat16*>(x), weight, bias, static_cast<const bfloat16*>(residual), eps, rows, C,
                         static_cast<bfloat16*>(out), threads);
    else layer_norm(static_cast<const float*>(x), weight, bias, static_cast<const float*>(residual), eps, rows, C,
                    static_cast<float*>(out), threads);
}
