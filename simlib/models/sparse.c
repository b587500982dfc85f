/* Products with a sparse matrix that skip its zeros, vectorised over tokens.

A tile of activations is turned so that its tokens lie side by side; each kept weight then
multiplies numbers that are neighbours in memory (the idea of Nikdan et al. 2023, arXiv
2302.04852). One thread, float32.

Activations are row-major, (tokens, features). `start` (rows + 1) and `place` list the columns of
the weights kept in each row of a matrix, `values` the weights themselves. `scratch` holds
2 (inputs + outputs) TILE floats and is aligned to 64 bytes. */

#include <stdint.h>
#include <string.h>

#define TILE 64 /* tokens: at width 100 a tile fits the first-level cache */

#ifdef __AVX512F__
#define V 16
#else
#define V 8
#endif

typedef float vec __attribute__((vector_size(4 * V)));
typedef float loose __attribute__((vector_size(4 * V), aligned(4)));
typedef int64_t integer;
typedef const int32_t *indices;
#define INLINE static inline __attribute__((always_inline))

#define STAGE(h, low, high)                                                                        \
    for (int r = 0; r < V; r++)                                                                    \
        if (!(r & h)) {                                                                            \
            vec a = rows[r], b = rows[r | h];                                                      \
            rows[r] = __builtin_shufflevector(a, b, low);                                          \
            rows[r | h] = __builtin_shufflevector(a, b, high);                                     \
        }
#if V == 16
#define LOW8 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23
#define HIGH8 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31
#define LOW4 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27
#define HIGH4 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31
#define LOW2 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29
#define HIGH2 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31
#define LOW1 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30
#define HIGH1 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31
#else
#define LOW4 0, 1, 2, 3, 8, 9, 10, 11
#define HIGH4 4, 5, 6, 7, 12, 13, 14, 15
#define LOW2 0, 1, 8, 9, 4, 5, 12, 13
#define HIGH2 2, 3, 10, 11, 6, 7, 14, 15
#define LOW1 0, 8, 2, 10, 4, 12, 6, 14
#define HIGH1 1, 9, 3, 11, 5, 13, 7, 15
#endif

/* Turn V rows of V numbers in place: at each stage rows h apart exchange blocks h wide. */
INLINE void turn(vec *rows) {
#if V == 16
    STAGE(8, LOW8, HIGH8)
#endif
    STAGE(4, LOW4, HIGH4)
    STAGE(2, LOW2, HIGH2)
    STAGE(1, LOW1, HIGH1)
}

/* (n, features) to (features, tile), zeros after the last token. */
INLINE void into_columns(const float *x, float *columns, integer n, integer features, int tile) {
    integer f = 0;
    for (; f + V <= features; f += V)
        for (integer m = 0; m < tile; m += V) {
            vec rows[V];
            for (int r = 0; r < V; r++) {
                const float *row = x + (m + r) * features + f;
                rows[r] = m + r < n ? (vec)*(const loose *)row : (vec){0};
            }
            turn(rows);
            for (int r = 0; r < V; r++) *(vec *)(columns + (f + r) * tile + m) = rows[r];
        }
    for (; f < features; f++)
        for (integer m = 0; m < tile; m++) columns[f * tile + m] = m < n ? x[m * features + f] : 0;
}

/* (features, tile) to (n, features). */
INLINE void from_columns(const float *columns, float *x, integer n, integer features, int tile) {
    integer f = 0;
    for (; f + V <= features; f += V)
        for (integer m = 0; m < n; m += V) {
            vec rows[V];
            for (int r = 0; r < V; r++) rows[r] = *(const vec *)(columns + (f + r) * tile + m);
            turn(rows);
            for (int r = 0; r < V && m + r < n; r++)
                *(loose *)(x + (m + r) * features + f) = rows[r];
        }
    for (; f < features; f++)
        for (integer m = 0; m < n; m++) x[m * features + f] = columns[f * tile + m];
}

/* y (rows, tile) = W x (columns, tile) */
INLINE void multiply(const float *values, const float *x, float *y, integer rows, indices start,
                     indices place, int tile) {
    for (integer o = 0; o < rows; o++) {
        vec sum[TILE / V] = {0};
        for (int32_t k = start[o]; k < start[o + 1]; k++) {
            const vec *column = (const vec *)(x + (integer)place[k] * tile);
            for (int p = 0; p < tile / V; p++) sum[p] += values[k] * column[p];
        }
        for (int p = 0; p < tile / V; p++) ((vec *)(y + o * tile))[p] = sum[p];
    }
}

INLINE vec along(const vec *a, const float *columns, int32_t place) {
    const vec *b = (const vec *)(columns + (integer)place * TILE);
    vec sum = a[0] * b[0];
    for (int p = 1; p < TILE / V; p++) sum += a[p] * b[p];
    return sum;
}

/* to_weight (rows, columns) += g x^T of one tile, where a weight is kept. */
static void sample(const float *g, const float *x, float *to_weight, integer columns,
                   integer rows, indices start, indices place) {
    for (integer o = 0; o < rows; o++) {
        vec own[TILE / V];
        for (int p = 0; p < TILE / V; p++) own[p] = ((const vec *)(g + o * TILE))[p];
        float *target = to_weight + o * columns;
        int32_t k = start[o];
        for (; k + V <= start[o + 1]; k += V) { /* V sums over tokens at once, by turning them */
            vec sums[V];
            for (int r = 0; r < V; r++) sums[r] = along(own, x, place[k + r]);
            turn(sums);
            for (int r = 1; r < V; r++) sums[0] += sums[r];
            for (int r = 0; r < V; r++) target[place[k + r]] += sums[0][r];
        }
        for (; k < start[o + 1]; k++) {
            vec sum = along(own, x, place[k]);
            for (int r = 0; r < V; r++) target[place[k]] += sum[r];
        }
    }
}

INLINE void forward_by(int tile, const float *x, const float *values, float *y, integer tokens,
                       integer inputs, integer outputs, indices start, indices place,
                       float *scratch) {
    float *out = scratch + inputs * tile;
    for (integer m = 0; m < tokens; m += tile) {
        integer n = tokens - m < tile ? tokens - m : tile;
        into_columns(x + m * inputs, scratch, n, inputs, tile);
        multiply(values, scratch, out, outputs, start, place, tile);
        from_columns(out, y + m * outputs, n, outputs, tile);
    }
}

/* y (tokens, outputs) = x (tokens, inputs) W^T */
void forward(const float *x, const float *values, float *y, integer tokens, integer inputs,
             integer outputs, indices start, indices place, float *scratch) {
    if (tokens <= V)
        forward_by(V, x, values, y, tokens, inputs, outputs, start, place, scratch);
    else
        forward_by(TILE, x, values, y, tokens, inputs, outputs, start, place, scratch);
}

/* to_x (tokens, inputs) = g (tokens, outputs) W unless it is null, by W^T (`.._t`), and
   to_weight (outputs, inputs) = g^T x where a weight is kept, 0 elsewhere */
void backward(const float *x, const float *g, const float *values_t, float *to_x,
              float *to_weight, integer tokens, integer inputs, integer outputs, indices start,
              indices place, indices start_t, indices place_t, float *scratch) {
    float *g_tile = scratch + inputs * TILE, *to_tile = g_tile + outputs * TILE;
    memset(to_weight, 0, sizeof(float) * inputs * outputs);
    for (integer m = 0; m < tokens; m += TILE) {
        integer n = tokens - m < TILE ? tokens - m : TILE;
        into_columns(x + m * inputs, scratch, n, inputs, TILE);
        into_columns(g + m * outputs, g_tile, n, outputs, TILE);
        sample(g_tile, scratch, to_weight, inputs, outputs, start, place);
        if (to_x) {
            multiply(values_t, g_tile, to_tile, inputs, start_t, place_t, TILE);
            from_columns(to_tile, to_x + m * inputs, n, inputs, TILE);
        }
    }
}
