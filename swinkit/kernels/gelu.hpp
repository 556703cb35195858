// GELU by the error function, x Φ(x), and its slope, Φ(x) + x φ(x).
#pragma once
#include "vectors.hpp"

namespace {

struct Normal { vec below, density; };  // Φ(x) and φ(x)

// By Abramowitz and Stegun 7.1.26, good to 1.5e-7; its e^(-x²/2) serves the slope as well.
inline Normal normal(vec x) {
    const vec z = (vec)((ivec)x & 0x7fffffff) * 0.70710678118654752f;
    const vec t = 1.0f / (1.0f + 0.3275911f * z);
    const vec e = exponential(-z * z);
    vec p = t * 1.061405429f - 1.453152027f;
    p = p * t + 1.421413741f;
    p = p * t - 0.284496736f;
    p = p * t + 0.254829592f;
    const vec beyond = 0.5f * p * t * e;  // Φ(-|x|)
    return {x < 0 ? beyond : 1.0f - beyond, e * 0.39894228040143268f};
}

#if defined(__AVX2__)

// Value and slope are a step less or plus something of z = |x| that fades: x Φ(x) = max(x, 0) - z Φ(-z), and, looked up with AVX-512 alone,
// the slope is s(z) = Φ(-z) - z φ(z) below zero, 1 - s(z) above. What fades is cut into as many pieces as a vector looks up at once; each is the polynomial through its Chebyshev
// points, or, where it has to vanish with x, through even steps. As many points as here are good to 2e-8, or, for bfloat16, to 3e-6.
constexpr int PIECES = LANES;
constexpr float PIECE = 5.6f / PIECES;  // beyond all of these what fades is below 4e-7
template <typename T> constexpr int POINTS = LANES == 16 ? (sizeof(T) == 2 ? 5 : 6) : (sizeof(T) == 2 ? 6 : 8);

template <int COUNT> struct Fading {
    alignas(64) float terms[COUNT][PIECES];  // coefficients by power of z / PIECE less the piece's number
    template <typename Function> explicit Fading(Function function) {
        for (int piece = 0; piece < PIECES; ++piece) {
            double at[COUNT], value[COUNT], term[COUNT] = {};
            for (int n = 0; n < COUNT; ++n) {
                at[n] = piece ? 0.5 - 0.5 * std::cos((n + 0.5) * M_PI / COUNT) : n / (COUNT - 1.0);
                value[n] = function((piece + at[n]) * PIECE);
            }
            for (int order = 1; order < COUNT; ++order)  // Newton's divided differences
                for (int n = COUNT - 1; n >= order; --n) value[n] = (value[n] - value[n - 1]) / (at[n] - at[n - order]);
            for (int n = COUNT - 1; n >= 0; --n) {  // (… (value₅ (t - at₄) + value₄) (t - at₃) + …), multiplied out
                for (int power = COUNT - 1; power > 0; --power) term[power] = term[power - 1] - at[n] * term[power];
                term[0] = value[n] - at[n] * term[0];
            }
            for (int power = 0; power < COUNT; ++power) terms[power][piece] = (float)term[power];
        }
    }
};
inline double below(double z) { return 0.5 * std::erfc(z * M_SQRT1_2); }  // Φ(-z)

// The smaller and the larger of two: if one of them is no number, the second. ``whole`` has an answer for every number and for none.
#if defined(__AVX512F__)
inline vec lesser(vec a, vec b) { return (vec)_mm512_min_ps((__m512)a, (__m512)b); }
inline vec greater(vec a, vec b) { return (vec)_mm512_max_ps((__m512)a, (__m512)b); }
inline ivec whole(vec x) { return (ivec)_mm512_cvttps_epi32((__m512)x); }
inline vec looked_up(const float* table, ivec at) { return (vec)_mm512_permutexvar_ps((__m512i)at, _mm512_load_ps(table)); }
#else
inline vec lesser(vec a, vec b) { return (vec)_mm256_min_ps((__m256)a, (__m256)b); }
inline vec greater(vec a, vec b) { return (vec)_mm256_max_ps((__m256)a, (__m256)b); }
inline ivec whole(vec x) { return (ivec)_mm256_cvttps_epi32((__m256)x); }
inline vec looked_up(const float* table, ivec at) { return (vec)_mm256_permutevar8x32_ps(_mm256_load_ps(table), (__m256i)at); }
#endif

struct Place { ivec piece; vec t; };
inline Place place(vec x) {
    const vec z = lesser(broadcast(PIECES - 1e-5f), (vec)((ivec)x & 0x7fffffff) * (1 / PIECE));  // in this order a NaN stays one
    const ivec piece = whole(z);
    return {piece, z - __builtin_convertvector(piece, vec)};
}
template <int COUNT> vec at(const Fading<COUNT>& fading, const Place& place) {
    vec value = {};
#pragma GCC unroll 8
    for (int power = COUNT - 1; power >= 0; --power)
        value = value * place.t + looked_up(fading.terms[power], place.piece);
    return value;
}

// as exact as a ``T`` is
template <typename T> const Fading<POINTS<T>> BUMP([](double z) { return z * below(z); });
template <typename T> vec gelu(vec x) {
    const vec zero = x * 0.0f;  // a NaN from infinities, as torch has it: the limit, 0 below, would hide broken weights
    return greater(x, zero) - at(BUMP<T>, place(x));
}

#else

template <typename T> vec gelu(vec x) { return x * normal(x).below; }

#endif

struct Both { vec value, slope; };  // of GELU

#if defined(__AVX512F__)

template <typename T> const Fading<POINTS<T>> SLOPE([](double z) { return below(z) - z * std::exp(-z * z / 2) * M_2_SQRTPI * M_SQRT1_2 / 2; });
template <typename T> Both gelu_and_slope(vec x) {
    const vec fading = at(SLOPE<T>, place(x));
    return {gelu<T>(x), x < 0 ? fading : 1.0f - fading};
}

#else

// AVX2 looks up slowly: what value and slope share is quicker than two tables.
template <typename T> Both gelu_and_slope(vec x) {
    const Normal n = normal(x);
    return {x * n.below, n.below + x * n.density};
}

#endif

}  // namespace
