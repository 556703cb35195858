// The gradient of a linear layer's weights, gradientᵀ x, and of its bias, the gradient's sum over rows: a product whose inner dimension, the
// rows, is long and whose answer is mostly small. Both factors are rearranged block by block, as tiles of the answer want to read them.
#include "packing.hpp"
#include <memory>

namespace {

constexpr int64_t DEPTH = 200;  // steps of a block at most: a panel of x and a tile of the gradient then share the first cache
constexpr int64_t CHUNK = 64;   // columns of the gradient that are rearranged at once, and stay in the second
constexpr int64_t SMALL = 1 << 16;  // numbers of an answer that each thread may sum up for itself

template <typename T> struct Operands { const T *gradient, *x; int64_t rows, outputs, inputs; };

// words of ``columns`` columns of from (rows, stride), from row ``first`` on, a step after the other: put(step, column, words)
template <typename U, typename Put>
void rearranged(const typename U::number* from, int64_t stride, int64_t rows, int64_t steps, int64_t columns, float* sums, Put put) {
    const std::vector<typename U::number> nothing(columns);
    for (int64_t step = 0; step < steps; ++step) {
        const typename U::number *one = from + step * U::STEP * stride, *two = U::STEP * (step + 1) <= rows ? one + stride : nothing.data();
        for (int64_t c = 0; c < columns; c += LANES) {
            put(step, c, U::words(one + c, two + c));
            if (!sums) continue;
            vec total = load(sums + c) + load(one + c);
            if (U::STEP == 2) total += load(two + c);
            store(sums + c, total);
        }
    }
}

// out (ROWS, V vectors of inputs) += gradient (steps, ROWS) by x (steps, V vectors)
template <typename U, int V> void tile(const word* gradient, const word* x, int64_t steps, float* out, int64_t inputs) {
    vec sums[ROWS][V];
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) sums[r][v] = load(out + r * inputs + v * LANES);
    for (int64_t step = 0; step < steps; ++step, gradient += ROWS, x += V * LANES) {
        decltype(U::weights(x)) panel[V];
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) panel[v] = U::weights(x + v * LANES);
#pragma GCC unroll 8
        for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 8
            for (int v = 0; v < V; ++v) sums[r][v] = U::add(sums[r][v], gradient[r], panel[v]);
    }
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) store(out + r * inputs + v * LANES, sums[r][v]);
}

// What steps ``first`` to ``last`` of the rows add to the answer's rows ``low`` to ``high``, and to their sums.
template <typename U>
void accumulate(const Operands<typename U::number>& in, int64_t first, int64_t last, int64_t low, int64_t high, float* out, float* sums) {
    const int64_t blocks = (last - first + DEPTH - 1) / DEPTH;
    const std::unique_ptr<int32_t[]> xs(new int32_t[DEPTH * in.inputs]), gradients(new int32_t[DEPTH * CHUNK]);
    for (int64_t block = 0; block < blocks; ++block) {
        const int64_t begin = first + (last - first) * block / blocks, steps = first + (last - first) * (block + 1) / blocks - begin;
        const int64_t row = begin * U::STEP, rows = in.rows - row;
        rearranged<U>(in.x + row * in.inputs, in.inputs, rows, steps, in.inputs, nullptr, [&](int64_t step, int64_t c, ivec words) {
            const Standing place = standing(c, in.inputs, steps);
            std::memcpy(&xs[place.at + step * place.stride], &words, sizeof words);
        });
        for (int64_t chunk = low; chunk < high; chunk += CHUNK) {
            const int64_t width = std::min(CHUNK, high - chunk);
            rearranged<U>(in.gradient + row * in.outputs + chunk, in.outputs, rows, steps, width, sums + chunk,
                          [&](int64_t step, int64_t c, ivec words) {
                for (int part = 0; part < LANES / ROWS; ++part)
                    std::memcpy(&gradients[((c / ROWS + part) * steps + step) * ROWS], (const word*)&words + part * ROWS, ROWS * sizeof(word));
            });
            for (int64_t column = 0; column < in.inputs; column += WIDTH)
                for (int64_t r = 0; r < width; r += ROWS) {
                    const word *gradient = &gradients[r * steps], *x = &xs[column * steps];
                    float* corner = out + (chunk + r) * in.inputs + column;
                    switch (std::min(WIDTH, in.inputs - column) / LANES) {
                        case 3: tile<U, 3>(gradient, x, steps, corner, in.inputs); break;
                        case 2: tile<U, 2>(gradient, x, steps, corner, in.inputs); break;
                        default: tile<U, 1>(gradient, x, steps, corner, in.inputs);
                    }
                }
        }
    }
}

// Threads part the rows where each can hold an answer of its own, else the outputs.
template <typename U> void product(const Operands<typename U::number>& in, float* out, float* sums, int threads) {
    const int64_t steps = (in.rows + U::STEP - 1) / U::STEP, size = in.outputs * in.inputs;
    if (size <= SMALL) {
        const auto total = summed(steps, threads, size + in.outputs, [&](int64_t first, int64_t last, float* own) {
            accumulate<U>(in, first, last, 0, in.outputs, own, own + size);
        });
        std::copy_n(total.begin(), size, out);
        std::copy_n(total.begin() + size, in.outputs, sums);
        return;
    }
    in_parallel(in.outputs / LANES, threads, [&](int64_t first, int64_t last, int) {
        std::fill(out + first * LANES * in.inputs, out + last * LANES * in.inputs, 0.0f);
        std::fill(sums + first * LANES, sums + last * LANES, 0.0f);
        accumulate<U>(in, 0, steps, first * LANES, last * LANES, out, sums);
    });
}

}  // namespace

extern "C" {

// gradient (rows, outputs) and x (rows, inputs) to out (outputs, inputs) and sums (outputs); both widths are multiples of 16
void weight_gradient(int half, const void* gradient, const void* x, int64_t rows, int64_t outputs, int64_t inputs, float* out, float* sums,
                     int threads) {
    with_unit(half, [&](auto U) {
        using T = typename decltype(U)::number;
        product<decltype(U)>({static_cast<const T*>(gradient), static_cast<const T*>(x), rows, outputs, inputs}, out, sums, threads);
    });
}

}
