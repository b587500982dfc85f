/* The steps of `newton.py`, one member after the other: the same method, compiled.

Numbers of neighbouring runs lie side by side in a vector; `parts` counts vectors, and the runs
that fill up the last one have weight 0. A term of the law is `exp(sum of theta[coordinate] *
values)` over its entries; a design is mostly zeros, so only its entries are kept. One thread,
double precision. */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define V 8
#define TILE 64 /* vectors whose terms are kept: they fit the second-level cache */
#define K 16    /* at most so many coefficients */
#define INLINE static inline __attribute__((always_inline))

typedef double vec __attribute__((vector_size(8 * V)));
typedef double loose __attribute__((vector_size(8 * V), aligned(8)));
typedef int64_t ivec __attribute__((vector_size(8 * V)));

typedef struct { /* as in compiled.py */
    int64_t members, parts, terms, k, log;
    int64_t target_stride, weights_stride; /* parts, or 0 where all members share */
    int64_t steps;                         /* at most */
    const int64_t *first;                  /* (terms + 1): where each term's entries begin */
    const int64_t *coordinate;             /* (entries) */
    const loose *values, *offset;          /* (entries, parts), (terms, parts) */
    const loose *target, *weights;         /* (parts) or (members, parts) */
    const double *lower, *upper;           /* (k) */
    const int64_t *valleys;       /* amplitude, exponent and floor of each; -1 after the last */
    const int64_t *at;            /* (members): the coordinate that is held; -1 for none */
    const double *row, *constant; /* (members, k), (members): what it is held at */
    double delta, tolerance, ridge, damping, less, more;
} Problem;

typedef struct {
    double gradient[K], hessian[K][K], metric[K][K];
} Model;

INLINE vec all(double x) { return (vec){x, x, x, x, x, x, x, x}; }
INLINE vec pick(ivec mask, vec yes, vec no) {
    return (vec)((mask & (ivec)yes) | (~mask & (ivec)no));
}
INLINE vec least(vec a, vec b) { return pick(a < b, a, b); }
INLINE vec most(vec a, vec b) { return pick(a > b, a, b); }
INLINE double sum(vec a) {
    return ((a[0] + a[1]) + (a[2] + a[3])) + ((a[4] + a[5]) + (a[6] + a[7]));
}

#define ROUND 0x1.8p52 /* adding it leaves a whole number in the last bits */

/* exp for x in [-700, 600], to the last digit or two: 2^n times a Taylor polynomial. */
INLINE vec exponential(vec x) {
    x = most(least(x, all(600)), all(-700));
    vec shifted = x * 0x1.71547652b82fep0 + ROUND, n = shifted - ROUND;
    vec r = x - n * 0x1.62e42fefa39efp-1 - n * 0x1.abc9e3b39803fp-56, y = all(1.0 / 6227020800.0);
    static const double inverse[] = {1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880,
                                     1.0 / 40320, 1.0 / 5040, 1.0 / 720, 1.0 / 120, 1.0 / 24,
                                     1.0 / 6, 0.5, 1, 1};
    for (int i = 0; i < 13; i++) y = y * r + inverse[i];
    return (vec)((ivec)y + ((ivec)shifted << 52));
}

/* log of positive numbers: the exponent, and the series of 2 atanh((m - 1) / (m + 1)). */
INLINE vec logarithm(vec x) {
    ivec bits = (ivec)x, n = (bits - 0x3fe6a09e667f3bcd) >> 52;
    vec m = (vec)(bits - (n << 52)), f = (m - 1) / (m + 1), f2 = f * f, y = all(1.0 / 23);
    for (int i = 21; i > 0; i -= 2) y = y * f2 + 1.0 / i;
    vec power = (vec)((ivec)all(ROUND) + n) - ROUND;
    return power * 0x1.62e42fefa39efp-1 + 2 * f * y;
}

/* What is known of one tile's runs at a theta: the terms, psi = w rho'(r) and two weights. */
typedef struct {
    vec share[K][TILE], psi[TILE], bend[TILE], again[TILE];
} Tile;

/* The tile that begins at a part, and what its runs add to the objective. */
static double tile_at(const Problem *p, int64_t member, const double *theta, int64_t begin,
                      Tile *tile) {
    int64_t n = p->parts - begin < TILE ? p->parts - begin : TILE;
    const loose *target = p->target + member * p->target_stride + begin;
    const loose *weights = p->weights + member * p->weights_stride + begin;
    vec value = all(0);
    for (int64_t i = 0; i < n; i++) {
        vec total = all(0);
        for (int64_t t = 0; t < p->terms; t++) {
            vec x = p->offset[t * p->parts + begin + i];
            for (int64_t e = p->first[t]; e < p->first[t + 1]; e++)
                x += theta[p->coordinate[e]] * p->values[e * p->parts + begin + i];
            total += tile->share[t][i] = exponential(x);
        }
        vec w = weights[i], residual = (p->log ? logarithm(total) : total) - target[i];
        vec size = most(residual, -residual), inner = least(size, all(p->delta));
        value += w * inner * (size - 0.5 * inner);
        tile->psi[i] = w * most(least(residual, all(p->delta)), all(-p->delta));
        tile->bend[i] = pick(size <= all(p->delta), w, all(0));
        tile->again[i] = w * least(all(1), p->delta / most(size, all(1e-300)));
        if (p->log) {
            tile->bend[i] -= tile->psi[i];
            for (int64_t t = 0; t < p->terms; t++) tile->share[t][i] /= total;
        }
    }
    return sum(value);
}

/* Add the tile's part to gradient, Hessian and metric; see `_derivatives` in newton.py. */
static void add(const Problem *p, int64_t begin, const Tile *tile, Model *m) {
    vec slope[K][TILE], s[TILE], u[TILE];
    int64_t k = p->k, n = p->parts - begin < TILE ? p->parts - begin : TILE;
    for (int64_t a = 0; a < k; a++)
        for (int64_t i = 0; i < n; i++) slope[a][i] = all(0);
    for (int64_t t = 0; t < p->terms; t++)
        for (int64_t e = p->first[t]; e < p->first[t + 1]; e++) {
            const loose *values = p->values + e * p->parts + begin;
            vec *to = slope[p->coordinate[e]];
            for (int64_t i = 0; i < n; i++) {
                u[i] = tile->share[t][i] * values[i];
                to[i] += u[i], s[i] = tile->psi[i] * u[i];
            }
            for (int64_t f = e; f < p->first[t + 1]; f++) {
                const loose *other = p->values + f * p->parts + begin;
                vec h = all(0);
                for (int64_t i = 0; i < n; i++) h += s[i] * other[i];
                m->hessian[p->coordinate[e]][p->coordinate[f]] += sum(h);
            }
        }
    for (int64_t a = 0; a < k; a++) {
        vec g = all(0);
        for (int64_t i = 0; i < n; i++) {
            g += tile->psi[i] * slope[a][i];
            s[i] = tile->bend[i] * slope[a][i], u[i] = tile->again[i] * slope[a][i];
        }
        m->gradient[a] += sum(g);
        for (int64_t b = a; b < k; b++) {
            vec h = all(0), c = all(0);
            for (int64_t i = 0; i < n; i++) h += s[i] * slope[b][i], c += u[i] * slope[b][i];
            m->hessian[a][b] += sum(h), m->metric[a][b] += sum(c);
        }
    }
}

/* The objective at theta; the last tile stays as it is there. */
static double value_at(const Problem *p, int64_t member, const double *theta, Tile *tile) {
    double value = 0;
    for (int64_t begin = 0; begin < p->parts; begin += TILE)
        value += tile_at(p, member, theta, begin, tile);
    return value;
}

/* The derivatives at theta, where `value_at` has just been. */
static void model_at(const Problem *p, int64_t member, const double *theta, Tile *tile, Model *m) {
    memset(m, 0, sizeof *m);
    for (int64_t begin = 0; begin < p->parts; begin += TILE) {
        if (p->parts > TILE) tile_at(p, member, theta, begin, tile);
        add(p, begin, tile, m);
    }
    for (int64_t a = 0; a < p->k; a++)
        for (int64_t b = 0; b < a; b++)
            m->hessian[a][b] = m->hessian[b][a], m->metric[a][b] = m->metric[b][a];
}

/* Lower triangle of the root of a (k, k); 0 where a is not positive definite. */
static int root(int64_t k, double a[K][K], double l[K][K]) {
    for (int64_t i = 0; i < k; i++)
        for (int64_t j = 0; j <= i; j++) {
            double x = a[i][j];
            for (int64_t c = 0; c < j; c++) x -= l[i][c] * l[j][c];
            if (i == j && !(x > 0)) return 0;
            l[i][j] = i == j ? sqrt(x) : x / l[j][j];
        }
    return 1;
}

/* x = (l l')^-1 x */
static void solve(int64_t k, double l[K][K], double *x) {
    for (int64_t i = 0; i < k; i++) {
        for (int64_t c = 0; c < i; c++) x[i] -= l[i][c] * x[c];
        x[i] /= l[i][i];
    }
    for (int64_t i = k - 1; i >= 0; i--) {
        for (int64_t c = i + 1; c < k; c++) x[i] -= l[c][i] * x[c];
        x[i] /= l[i][i];
    }
}

/* Jacobi's method: a (k, k) becomes diagonal, the rows of v its eigenvectors. */
static void eigen(int64_t k, double a[K][K], double v[K][K]) {
    for (int64_t i = 0; i < k; i++)
        for (int64_t j = 0; j < K; j++) v[i][j] = i == j;
    for (int sweep = 0; sweep < 30; sweep++) {
        double off = 0, square = 0;
        for (int64_t i = 0; i < k; i++) {
            square += a[i][i] * a[i][i];
            for (int64_t j = 0; j < i; j++) off += a[i][j] * a[i][j];
        }
        double small = 1e-16 * square / (k * k);
        if (!(off > small)) return;
        for (int64_t i = 0; i < k; i++)
            for (int64_t j = i + 1; j < k; j++) {
                double between = a[i][j];
                if (between * between <= small) continue;
                double ratio = (a[j][j] - a[i][i]) / (2 * between);
                double t = (ratio < 0 ? -1 : 1) / (fabs(ratio) + sqrt(ratio * ratio + 1));
                double c = 1 / sqrt(t * t + 1), s = t * c;
                double first = a[i][i] - t * between, second = a[j][j] + t * between;
                for (int64_t n = 0; n < K; n++) { /* whole rows: their length is known */
                    double x = a[i][n], y = a[j][n], from = v[i][n], to = v[j][n];
                    a[i][n] = c * x - s * y, a[j][n] = s * x + c * y;
                    v[i][n] = c * from - s * to, v[j][n] = s * from + c * to;
                }
                a[i][i] = first, a[j][j] = second, a[i][j] = a[j][i] = 0;
                for (int64_t n = 0; n < k; n++)
                    if (n != i && n != j) a[n][i] = a[i][n], a[n][j] = a[j][n];
            }
    }
}

/* What a step needs: the model of `look`, and its bent directions unless it is a bowl. */
typedef struct {
    Model m;
    int bowl;
    double basis[K][K], bend[K];
} Local;

static void hold(const Problem *p, int64_t member, Model *m) {
    int64_t at = p->at[member], k = p->k;
    const double *row = p->row + member * k;
    for (int64_t i = 0; i < k; i++) m->gradient[i] += row[i] * m->gradient[at];
    double(*both[])[K] = {m->hessian, m->metric};
    for (int n = 0; n < 2; n++) {
        double(*a)[K] = both[n];
        for (int64_t i = 0; i < k; i++)
            for (int64_t j = 0; j < k; j++) a[i][j] += row[j] * a[i][at];
        for (int64_t i = 0; i < k; i++)
            for (int64_t j = 0; j < k; j++) a[i][j] += row[i] * a[at][j];
    }
}

/* `_model` of newton.py; a Hessian without negative directions needs no eigenvectors. */
static void localise(const Problem *p, int64_t member, const double *theta, Local *l) {
    int64_t k = p->k;
    double work[K][K] = {0}, lower[K][K];
    Model *m = &l->m;
    if (p->at[member] >= 0) hold(p, member, m);
    for (int64_t i = 0; i < k; i++) m->metric[i][i] += p->ridge * m->metric[i][i] + 1e-150;
    for (int64_t i = 0; i < k; i++) {
        double g = m->gradient[i];
        if (i == p->at[member] || (theta[i] <= p->lower[i] && g > 0) ||
            (theta[i] >= p->upper[i] && g < 0)) {
            for (int64_t j = 0; j < k; j++)
                m->hessian[i][j] = m->hessian[j][i] = m->metric[i][j] = m->metric[j][i] = 0;
            m->gradient[i] = 0, m->hessian[i][i] = m->metric[i][i] = 1;
        }
    }
    l->bowl = root(k, m->hessian, work);
    if (l->bowl) return;
    if (!root(k, m->metric, lower)) { /* by rounding alone: its diagonal will do */
        memset(lower, 0, sizeof lower);
        for (int64_t i = 0; i < k; i++) lower[i][i] = sqrt(m->metric[i][i]);
    }
    for (int64_t j = 0; j < k; j++) /* lower^-1, column by column */
        for (int64_t i = 0; i < k; i++) {
            double x = i == j;
            for (int64_t c = j; c < i; c++) x -= lower[i][c] * l->basis[c][j];
            l->basis[i][j] = i < j ? 0 : x / lower[i][i];
        }
    double half[K][K], turned[K][K];
    for (int64_t i = 0; i < k; i++)
        for (int64_t j = 0; j < k; j++) {
            half[i][j] = 0;
            for (int64_t c = 0; c <= i; c++) half[i][j] += l->basis[i][c] * m->hessian[c][j];
        }
    for (int64_t i = 0; i < k; i++)
        for (int64_t j = 0; j <= i; j++) {
            work[i][j] = 0;
            for (int64_t c = 0; c <= j; c++) work[i][j] += half[i][c] * l->basis[j][c];
            work[j][i] = work[i][j];
        }
    eigen(k, work, turned);
    for (int64_t i = 0; i < k; i++) l->bend[i] = fabs(work[i][i]);
    memcpy(half, l->basis, sizeof half);
    for (int64_t i = 0; i < k; i++)
        for (int64_t j = 0; j < k; j++) {
            l->basis[i][j] = 0;
            for (int64_t c = i; c < k; c++) l->basis[i][j] += half[c][i] * turned[j][c];
        }
}

/* A descent step (k) at this damping; returns the fall of the objective that it promises. */
static double descend(const Problem *p, Local *l, double damping, double *step) {
    int64_t k = p->k;
    Model *m = &l->m;
    double work[K][K], lower[K][K], promise = 0;
    if (l->bowl) {
        for (int64_t i = 0; i < k; i++)
            for (int64_t j = 0; j <= i; j++)
                work[i][j] = m->hessian[i][j] + damping * m->metric[i][j];
        root(k, work, lower);
        for (int64_t i = 0; i < k; i++) step[i] = -m->gradient[i];
        solve(k, lower, step);
    } else {
        memset(step, 0, k * sizeof *step);
        for (int64_t c = 0; c < k; c++) {
            double x = 0;
            for (int64_t i = 0; i < k; i++) x += l->basis[i][c] * m->gradient[i];
            x /= l->bend[c] + damping;
            for (int64_t i = 0; i < k; i++) step[i] -= l->basis[i][c] * x;
        }
    }
    for (int64_t i = 0; i < k; i++) promise -= step[i] * m->gradient[i];
    return promise;
}

static double within(double x, double low, double high) {
    return x < low ? low : x > high ? high : x;
}

/* Back between the bounds, and to what is held. */
static void place(const Problem *p, int64_t member, double *theta) {
    int64_t k = p->k, at = p->at[member];
    for (int64_t i = 0; i < k; i++) theta[i] = within(theta[i], p->lower[i], p->upper[i]);
    if (at < 0) return;
    double held = p->constant[member];
    for (int64_t i = 0; i < k; i++) held += i == at ? 0 : p->row[member * k + i] * theta[i];
    theta[at] = held;
}

/* `_move` of newton.py. */
static void move(const Problem *p, int64_t member, const double *theta, const double *step,
                 double *new) {
    int64_t k = p->k, at = p->at[member];
    
    for (int64_t i = 0; i < k; i++) new[i] = theta[i] + step[i];
    for (const int64_t *v = p->valleys; v[0] >= 0; v += 3) {
        if (at == v[0] || at == v[1] || at == v[2]) continue;
        double e = exp(theta[v[0]]), b = theta[v[1]], g = exp(theta[v[2]]);
        double ratio = within(new[v[1]] / b, 0.25, 4);
        double slope = within(step[v[0]] + step[v[1]] / b, -3, 3);
        double value = within((e * step[v[0]] + g * step[v[2]]) / (e + g), -3, 3);
        double new_e = e * exp(slope) / ratio, new_g = (e + g) * exp(value) - new_e;
        int turns = p->lower[v[1]] < 0 && new[v[1]] * b <= 0; /* a change of sign */
        if (new_g > 0 && !turns)
            new[v[0]] = log(new_e), new[v[1]] = ratio * b, new[v[2]] = log(new_g);
    }
    place(p, member, new);
}

/* Local minima from theta (members, k), which they replace, with objective and converged. */
void minimise(const Problem *p, double *thetas, double *values, int8_t *converged) {
    Local here;
    Tile *tile = aligned_alloc(sizeof(vec), sizeof *tile);
    double step[K], trial[K];
    for (int64_t member = 0; member < p->members; member++) {
        double *theta = thetas + member * p->k, damping = p->damping;
        int moved = 1;
        place(p, member, theta);
        values[member] = value_at(p, member, theta, tile);
        converged[member] = 0;
        for (int64_t taken = 0; taken < p->steps && !converged[member]; taken++) {
            if (moved) {
                model_at(p, member, theta, tile, &here.m);
                localise(p, member, theta, &here);
            }
            double promise = descend(p, &here, damping, step);
            move(p, member, theta, step, trial);
            double value = value_at(p, member, trial, tile);
            moved = value < values[member];
            damping *= moved ? p->less : p->more;
            if (moved) {
                memcpy(theta, trial, p->k * sizeof *theta);
                values[member] = value;
            }
            converged[member] = promise <= p->tolerance * values[member] || damping > 1e10;
        }
    }
    free(tile);
}
