// Layer norm over channels, forward and backward, with what stands around it in a Swin block: scale and offset where they are not
// folded away, and the residual sum of version 2, residual + LN(x). Sums are float32; what goes in and what comes out are float32 or
// bfloat16, each for itself, because under autocast a norm stands between float32 tokens and a bfloat16 layer. C is a multiple of 16.
#include "entries.hpp"
#include "vectors.hpp"

namespace {

template <typename X, typename Y>
void forward(const X* x, const float* weight, const float* bias, const Y* residual, float eps, int64_t rows, int C, Y* out,
             Statistics* kept, int threads) {
    in_parallel(rows, threads, [&](int64_t first, int64_t last) {
        std::vector<float> row(C);
        for (int64_t r = first; r < last; ++r) {
            const X* from = x + r * C;
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
            if (kept) kept[r] = {mean, scale};
            for (int c = 0; c < C; c += LANES) {
                vec value = load(&row[c]) * scale;
                if (weight) value = value * load(weight + c) + load(bias + c);
                if (residual) value += load(residual + r * C + c);
                store(out + r * C + c, value);
            }
        }
    });
}

// With n = LN(x) before scale and offset, and g the gradient of n: gx = scale (g - mean(g) - n mean(g n)), and beside, the gradient
// that reaches x by another way.
template <typename X, typename Y>
void backward(const X* x, const float* weight, const Statistics* kept, const Y* gout, const X* beside, int64_t rows, int C, X* gx,
              float* gweight, float* gbias, int threads) {
    const auto total = summed(rows, threads, 2 * C, [&](int64_t first, int64_t last, float* own) {
        for (int64_t r = first; r < last; ++r) {
            const auto [mean, scale] = kept[r];
            vec along = {}, all = {};
            for (int c = 0; c < C; c += LANES) {
                const vec n = (load(x + r * C + c) - mean) * scale;
                vec g = load(gout + r * C + c);
                store(own + c, load(own + c) + g * n);
                store(own + C + c, load(own + C + c) + g);
                g *= load(weight + c);
                along += g * n;
                all += g;
            }
            const float slope = sum(along) / C, shift = sum(all) / C;
            for (int c = 0; c < C; c += LANES) {
                const vec n = (load(x + r * C + c) - mean) * scale;
                vec g = scale * (load(gout + r * C + c) * load(weight + c) - shift - n * slope);
                if (beside) g += load(beside + r * C + c);
                store(gx + r * C + c, g);
            }
        }
    });
    std::copy_n(total.begin(), C, gweight);
    std::copy_n(total.begin() + C, C, gbias);
}

// call with null pointers to the types of x and of y, as the two codes say
template <typename Call> void with_types(int x, int y, Call call) {
    float* const wide = nullptr;
    bfloat16* const half = nullptr;
    if (x && y) call(half, half); else if (x) call(half, wide); else if (y) call(wide, half); else call(wide, wide);
}

}  // namespace

extern "C" {

void norm_forward(int xhalf, int yhalf, void* x, const float* weight, const float* bias, void* residual, float eps, int64_t rows,
                  int C, void* out, Statistics* kept, int threads) {
    with_types(xhalf, yhalf, [&](auto X, auto Y) {
        forward(static_cast<decltype(X)>(x), weight, bias, static_cast<decltype(Y)>(residual), eps, rows, C,
                static_cast<decltype(Y)>(out), kept, threads);
    });
}

void norm_backward(int xhalf, int yhalf, void* x, const float* weight, const Statistics* kept, void* gout, void* beside, int64_t rows,
                   int C, void* gx, float* gweight, float* gbias, int threads) {
    with_types(xhalf, yhalf, [&](auto X, auto Y) {
        backward(static_cast<decltype(X)>(x), weight, kept, static_cast<decltype(Y)>(gout), static_cast<decltype(X)>(beside), rows, C,
                 static_cast<decltype(X)>(gx), gweight, gbias, threads);
    });
}

void add(int xhalf, int yhalf, void* x, void* y, const float* factors, int64_t apart, int64_t count, void* out, int threads) {
    with_types(xhalf, yhalf, [&](auto X, auto Y) {
        const auto* from = static_cast<decltype(X)>(x);
        in_parallel(count / LANES, threads, [&](int64_t first, int64_t last) {
            for (int64_t at = first * LANES; at < last * LANES; at += LANES) {
                vec value = load(static_cast<decltype(Y)>(y) + at);
                if (factors) value *= factors[at / apart];
                store(static_cast<decltype(X)>(out) + at, from ? load(from + at) + value : value);
            }
        });
    });
}

}
