// What products multiply, and the products of one window: small matrices that stay in the first cache.
#pragma once
#include "vectors.hpp"

namespace {

#if defined(__AVX512F__)
constexpr int TILE = 4, ROWS = 7;  // 7 x 4 accumulators and 4 operands are the 32 registers; 49 tokens are 7 x 7
#else
constexpr int TILE = 2, ROWS = 4;
#endif

// What products multiply: one number of float32, or two neighbours of bfloat16 at once where the processor does that. A row of
// numbers is a row of such cells; rows are grouped when a cell holds STEP rows of one column, as a sum over rows wants them.
struct Single {
    typedef float number; typedef float cell; typedef vec cells;
    static constexpr int STEP = 1;
    static vec add(vec total, cell a, cells b) { return total + a * b; }
    static cells group(const number* rows, int) { return load(rows); }
    static cells group(const vec* rows) { return rows[0]; }
};
#if defined(__AVX512BF16__)
struct Pair {
    typedef bfloat16 number; typedef int32_t cell; typedef ivec cells;
    static constexpr int STEP = 2;
    static vec add(vec total, cell a, cells b) {
        return (vec)_mm512_dpbf16_ps((__m512)total, (__m512bh)_mm512_set1_epi32(a), (__m512bh)b);
    }
    static cells group(const number* rows, int width) {
        return interleaved(half(rows), half(rows + width), std::make_integer_sequence<int, 2 * LANES>{});
    }
    static cells group(const vec* rows) {
        return interleaved((hvec)_mm512_cvtneps_pbh((__m512)rows[0]), (hvec)_mm512_cvtneps_pbh((__m512)rows[1]),
                           std::make_integer_sequence<int, 2 * LANES>{});
    }
    static hvec half(const number* from) { hvec x; std::memcpy(&x, from, sizeof x); return x; }
    template <int... LANE> static cells interleaved(hvec low, hvec high, std::integer_sequence<int, LANE...>) {
        return (cells)__builtin_shufflevector(low, high, (LANE / 2 + LANE % 2 * LANES)...);
    }
};
#endif

template <typename T> struct Buffer {  // zeros, aligned to whole vectors
    std::vector<vec> held;
    explicit Buffer(size_t count) : held((count * sizeof(T) + sizeof(vec) - 1) / sizeof(vec)) {}
    operator T*() { return reinterpret_cast<T*>(held.data()); }
};
template <typename U> typename U::cells load_cells(const typename U::cell* from) {
    typename U::cells x; std::memcpy(&x, from, sizeof x); return x;
}
template <typename U> void store_cells(typename U::cell* to, typename U::cells x) { std::memcpy(to, &x, sizeof x); }
template <typename U> const typename U::cell* cells_of(const typename U::number* rows) {
    return reinterpret_cast<const typename U::cell*>(rows);
}

// tokens (N, D) to cells (D / STEP, P); N is padded with zeros in the source
template <typename U, int D> void transposed(const typename U::number* from, typename U::cell* to, int P) {
    constexpr int across = D / U::STEP;
    for (int token = 0; token < P; token += LANES)
        for (int c = 0; c < across; c += LANES) {
            typename U::cells rows[LANES];
            for (int row = 0; row < LANES; ++row) rows[row] = load_cells<U>(cells_of<U>(from) + (token + row) * across + c);
            transpose<1>(rows);
            for (int row = 0; row < LANES; ++row) store_cells<U>(to + (c + row) * P + token, rows[row]);
        }
}
// tokens (N, D) to groups of rows (N / STEP rounded up, D)
template <typename U, int D> void grouped(const typename U::number* from, typename U::cell* to, int N) {
    for (int t = 0; t < N; t += U::STEP)
        for (int c = 0; c < D; c += LANES) store_cells<U>(to + t / U::STEP * D + c, U::group(from + t * D + c, D));
}

// out (R, P) = a (R, K) times b (K, P)
template <typename U, int K, int R, int T> void product_tile(const typename U::cell* a, const typename U::cell* b, int P, float* out) {
    vec total[R][T] = {};
    for (int k = 0; k < K; ++k) {
        typename U::cells column[T];
        for (int part = 0; part < T; ++part) column[part] = load_cells<U>(b + k * P + part * LANES);
        for (int row = 0; row < R; ++row)
            for (int part = 0; part < T; ++part) total[row][part] = U::add(total[row][part], a[row * K + k], column[part]);
    }
    for (int row = 0; row < R; ++row)
        for (int part = 0; part < T; ++part) store(out + row * P + part * LANES, total[row][part]);
}
template <typename U, int K, int R> void product_rows(const typename U::cell* a, const typename U::cell* b, int P, float* out) {
    int column = 0;
    for (; column + TILE * LANES <= P; column += TILE * LANES) product_tile<U, K, R, TILE>(a, b + column, P, out + column);
    for (; column < P; column += LANES) product_tile<U, K, R, 1>(a, b + column, P, out + column);
}
// out (R, D) = sum over m of a[row * across + m * along] b (m, D)
template <typename U, int D, int R>
void weighted_rows(const typename U::cell* a, int across, int along, const typename U::cell* b, int count, float* out) {
    vec total[R][D / LANES] = {};
    for (int m = 0; m < count; ++m)
        for (int part = 0; part < D / LANES; ++part) {
            const auto value = load_cells<U>(b + m * D + part * LANES);
            for (int row = 0; row < R; ++row) total[row][part] = U::add(total[row][part], a[row * across + m * along], value);
        }
    for (int row = 0; row < R; ++row)
        for (int part = 0; part < D / LANES; ++part) store(out + row * D + part * LANES, total[row][part]);
}
// both for N rows: in blocks of ROWS, the rest one at a time
template <typename U, int D> void product(const typename U::number* a, const typename U::cell* b, int N, int P, float* out) {
    constexpr int K = D / U::STEP;
    int row = 0;
    for (; row + ROWS <= N; row += ROWS) product_rows<U, K, ROWS>(cells_of<U>(a) + row * K, b, P, out + (size_t)row * P);
    for (; row < N; ++row) product_rows<U, K, 1>(cells_of<U>(a) + row * K, b, P, out + (size_t)row * P);
}
template <typename U, int D>
void weighted(const typename U::cell* a, int across, int along, const typename U::cell* b, int N, float* out) {
    const int count = (N + U::STEP - 1) / U::STEP;
    int row = 0;
    for (; row + ROWS <= N; row += ROWS) weighted_rows<U, D, ROWS>(a + (size_t)row * across, across, along, b, count, out + row * D);
    for (; row < N; ++row) weighted_rows<U, D, 1>(a + (size_t)row * across, across, along, b, count, out + row * D);
}

}  // namespace
