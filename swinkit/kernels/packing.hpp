// Weights in the order in which products read them: panels of a few vectors of outputs; in each, the inputs one step after another.
#pragma once
#include "vectors.hpp"

namespace {

constexpr int ROWS = 8, VECTORS = 3;  // of a tile: 24 sums, 3 vectors of weights and one number of x are 28 of AVX-512's 32 registers
constexpr int64_t WIDTH = VECTORS * LANES;  // of a panel

typedef int32_t __attribute__((may_alias)) word;

// A step along the inner dimension takes a word of each row: one float32, or two bfloat16 whose products are added at once.
struct Single {
    typedef float number;
    static constexpr int STEP = 1;
    static vec weights(const word* from) { return load(reinterpret_cast<const float*>(from)); }
    static ivec words(const float* from) { return (ivec)load(from); }
    static ivec words(const float* one, const float*) { return (ivec)load(one); }
    static vec add(vec sum, word x, vec weights) {
        float value;
        std::memcpy(&value, &x, sizeof value);
        return sum + broadcast(value) * weights;
    }
};
#if defined(__AVX512BF16__)
struct Pair {
    typedef bfloat16 number;
    static constexpr int STEP = 2;
    static __m512bh weights(const word* from) { return (__m512bh)_mm512_loadu_si512(from); }
    static ivec words(const float* from) { return (ivec)_mm512_cvtne2ps_pbh((__m512)load(from + LANES), (__m512)load(from)); }
    static ivec words(const float* one, const float* two) {  // the second in the upper half
        const hvec low = (hvec)_mm512_cvtneps_pbh((__m512)load(one)), high = (hvec)_mm512_cvtneps_pbh((__m512)load(two));
        return __builtin_convertvector(low, ivec) | __builtin_convertvector(high, ivec) << 16;
    }
    static ivec words(const bfloat16* one, const bfloat16* two) {
        hvec low, high;
        std::memcpy(&low, one, sizeof low);
        std::memcpy(&high, two, sizeof high);
        return __builtin_convertvector(low, ivec) | __builtin_convertvector(high, ivec) << 16;
    }
    static vec add(vec sum, word x, __m512bh weights) {
        return (vec)_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_set1_epi32(x), weights);
    }
};
#endif

template <typename Work> void with_unit([[maybe_unused]] int half, Work work) {
#if defined(__AVX512BF16__)
    if (half) return work(Pair{});
#endif
    work(Single{});
}

// sums (R, V) += a step: the word of each row, by a panel of V vectors
template <typename U, int R, int V, typename Row>
__attribute__((always_inline)) inline void add_step(vec (&sums)[R][V], Row row, const word* weights) {
    decltype(U::weights(weights)) panel[V];
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) panel[v] = U::weights(weights + v * LANES);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) sums[r][v] = U::add(sums[r][v], row(r), panel[v]);
}

// Where the vector of outputs that begins with ``column`` stands in the packed weights, and how far it is from one step to the next.
struct Standing { int64_t at, stride; };
Standing standing(int64_t column, int64_t columns, int64_t steps) {
    const int64_t panel = column / WIDTH * WIDTH;
    return {panel * steps + column - panel, std::min(WIDTH, columns - panel)};
}

// from weights (inner, columns): row by row
template <typename U> void pack_transposed(const float* weights, int64_t columns, int64_t inner, word* packed, int threads) {
    const int64_t steps = inner / U::STEP;
    in_parallel(steps, threads, [&](int64_t first, int64_t last, int) {
        for (int64_t step = first; step < last; ++step) {
            const float* from = weights + step * U::STEP * columns;
            for (int64_t column = 0; column < columns; column += LANES) {
                const Standing place = standing(column, columns, steps);
                const ivec words = U::words(from + column, from + columns + column);
                std::memcpy(packed + place.at + step * place.stride, &words, sizeof words);
            }
        }
    });
}

// from weights (columns, inner): blocks of as many rows as a vector has numbers, transposed
template <typename U> void pack(const float* weights, int64_t columns, int64_t inner, word* packed, int threads) {
    const int64_t steps = inner / U::STEP;
    in_parallel(columns / LANES, threads, [&](int64_t first, int64_t last, int) {
        for (int64_t column = first * LANES; column < last * LANES; column += LANES) {
            const Standing place = standing(column, columns, steps);
            for (int64_t step = 0; step < steps; step += LANES) {
                const int64_t begin = std::max<int64_t>(0, std::min(step, steps - LANES));  // the last block may meet the one before
                ivec rows[LANES];
                for (int row = 0; row < LANES; ++row) {
                    const float* from = weights + (column + row) * inner + begin * U::STEP;
                    float short_row[2 * LANES] = {};
                    rows[row] = U::words(steps < LANES ? std::copy_n(from, inner, short_row) - inner : from);
                }
                transpose(rows);
                for (int row = 0; row < std::min<int64_t>(LANES, steps); ++row)
                    std::memcpy(packed + place.at + (begin + row) * place.stride, &rows[row], sizeof rows[row]);
            }
        }
    });
}

}  // namespace
