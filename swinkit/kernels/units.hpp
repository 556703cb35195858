// What products multiply: one number of float32, or, where the processor does that, two of bfloat16 whose products are added at once.
#pragma once
#include "vectors.hpp"

namespace {

// A cell is what one step along the inner dimension takes of a row: STEP neighbours there. Where that dimension is the rows themselves, a
// cell holds STEP rows of one column; that is what ``group`` makes.
struct Single {
    typedef float number; typedef float cell; typedef vec cells;
    static constexpr int STEP = 1;
    static vec add(vec sum, cell a, cells b) { return sum + broadcast(a) * b; }
    static cells along(const float* row) { return load(row); }
    static cells group(vec one, vec) { return one; }
    static cells group(const float* one, const float*) { return load(one); }  // the other may be no row at all
};
#if defined(__AVX512BF16__)
struct Pair {
    typedef bfloat16 number; struct cell { number parts[2]; }; typedef ivec cells;
    static constexpr int STEP = 2;
    static vec add(vec sum, cell a, cells b) {
        int32_t both;
        std::memcpy(&both, &a, sizeof both);
        return (vec)_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_set1_epi32(both), (__m512bh)b);
    }
    static cells along(const float* row) { return (cells)_mm512_cvtne2ps_pbh((__m512)load(row + LANES), (__m512)load(row)); }
    static cells group(vec one, vec two) { return interleaved((hvec)_mm512_cvtneps_pbh((__m512)one), (hvec)_mm512_cvtneps_pbh((__m512)two)); }
    static cells group(const float* one, const float* two) { return group(load(one), load(two)); }
    static cells group(const bfloat16* one, const bfloat16* two) {
        hvec low, high;
        std::memcpy(&low, one, sizeof low);
        std::memcpy(&high, two, sizeof high);
        return interleaved(low, high);
    }
    typedef uint16_t wide __attribute__((vector_size(LANES * 4)));
    static wide widened(hvec half) { return (wide)_mm512_castsi256_si512((__m256i)half); }  // its second half is not read
    static cells interleaved(hvec low, hvec high) { return interleaved(low, high, std::make_integer_sequence<int, 2 * LANES>{}); }
    template <int... LANE> static cells interleaved(hvec low, hvec high, std::integer_sequence<int, LANE...>) {
        return (cells)shuffled<(LANE / 2 + LANE % 2 * 2 * LANES)...>(widened(low), widened(high));
    }
};
#endif

template <typename U> typename U::cells load_cells(const typename U::cell* from) {
    typename U::cells x;
    std::memcpy(&x, from, sizeof x);
    return x;
}
template <typename U> void store_cells(typename U::cell* to, typename U::cells x) { std::memcpy(to, &x, sizeof x); }
template <typename U> const typename U::cell* cells_of(const typename U::number* row) {
    return reinterpret_cast<const typename U::cell*>(row);
}

// sums (R, V) += a step: the cell of each row, by V vectors of weights
template <typename U, int R, int V, typename Row>
__attribute__((always_inline)) inline void add_step(vec (&sums)[R][V], Row row, const typename U::cell* weights) {
    typename U::cells panel[V];
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) panel[v] = in_register(load_cells<U>(weights + v * LANES));
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) sums[r][v] = U::add(sums[r][v], row(r), panel[v]);
}

template <typename Work> void with_unit([[maybe_unused]] int half, Work work) {
#if defined(__AVX512BF16__)
    if (half) return work(Pair{});
#endif
    work(Single{});
}

}  // namespace
