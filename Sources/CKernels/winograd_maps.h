// The maps of lane_winograd.c, for one tile of eight images or for two. Whoever includes this defines
// VECTOR, the type that holds a number of each; INTS, integers of as many; and MAP(name), the name of
// a map for that type. The file is included once for each type.

// Computes B' d, with B' = (1 0 -1 0; 0 1 1 0; 0 -1 1 0; 0 1 0 -1).
CONVOY_INLINE void MAP(map_input)(const VECTOR d[SIDE], VECTOR v[SIDE]) {
    v[0] = d[0] - d[2];
    v[1] = d[1] + d[2];
    v[2] = d[2] - d[1];
    v[3] = d[1] - d[3];
}

// Computes B v.
CONVOY_INLINE void MAP(map_input_gradient)(const VECTOR v[SIDE], VECTOR d[SIDE]) {
    d[0] = v[0];
    d[1] = (v[1] - v[2]) + v[3];
    d[2] = (v[1] + v[2]) - v[0];
    d[3] = -v[3];
}

// Computes A' m, with A' = (1 1 1 0; 0 1 -1 -1).
CONVOY_INLINE void MAP(map_output)(const VECTOR m[SIDE], VECTOR y[2]) {
    y[0] = m[0] + (m[1] + m[2]);
    y[1] = (m[1] - m[2]) - m[3];
}

// Computes A g.
CONVOY_INLINE void MAP(map_output_gradient)(const VECTOR g[2], VECTOR m[SIDE]) {
    m[0] = g[0];
    m[1] = g[0] + g[1];
    m[2] = g[0] - g[1];
    m[3] = -g[1];
}

// Loads the points of column `x`.
CONVOY_INLINE void MAP(load_points)(const float *points, ptrdiff_t point, int x, VECTOR m[SIDE]) {
    CONVOY_UNROLL
    for (int y = 0; y < SIDE; y++) m[y] = *(const VECTOR *)(points + (y * SIDE + x) * point);
}

// Computes A' m A and adds the bias. y[0] and y[1] are the upper row, y[2] and y[3] the lower one.
CONVOY_INLINE void MAP(output_values)(const float *points, ptrdiff_t point, const float *bias,
                                      VECTOR y[4]) {
    const VECTOR b = (VECTOR)(*bias);
    VECTOR rows[2][SIDE];
    CONVOY_UNROLL
    for (int x = 0; x < SIDE; x++) {
        VECTOR m[SIDE], column[2];
        MAP(load_points)(points, point, x, m);
        MAP(map_output)(m, column);
        rows[0][x] = column[0];
        rows[1][x] = column[1];
    }
    CONVOY_UNROLL
    for (int r = 0; r < 2; r++) {
        MAP(map_output)(rows[r], y + 2 * r);
        y[2 * r] = y[2 * r] + b;
        y[2 * r + 1] = y[2 * r + 1] + b;
    }
}

// Writes the maximum of a tile's outputs and its place.
CONVOY_INLINE void MAP(pooled_output)(const float *points, ptrdiff_t point, const float *bias,
                                      int relu, float *output, int32_t *choice) {
    VECTOR y[4];
    MAP(output_values)(points, point, bias, y);
    VECTOR best = y[0];
    INTS where = (INTS)(0);
    CONVOY_UNROLL
    for (int i = 1; i < 4; i++) CONVOY_TAKE_MAXIMUM(best, where, y[i], (INTS)(i));
    if (relu) {
        where = best <= 0 ? (INTS)(-1) : where;
        best = best < 0 ? (VECTOR)(0.0f) : best;
    }
    *(VECTOR *)output = best;
    *(INTS *)choice = where;
}

// Computes A g A' and writes the points.
CONVOY_INLINE void MAP(gradient_points)(const VECTOR g[4], float *points, ptrdiff_t point) {
    VECTOR columns[2][SIDE];
    CONVOY_UNROLL
    for (int x = 0; x < 2; x++) {
        const VECTOR column[2] = {g[x], g[2 + x]};
        MAP(map_output_gradient)(column, columns[x]);
    }
    CONVOY_UNROLL
    for (int y = 0; y < SIDE; y++) {
        const VECTOR row[2] = {columns[0][y], columns[1][y]};
        VECTOR m[SIDE];
        MAP(map_output_gradient)(row, m);
        CONVOY_UNROLL
        for (int x = 0; x < SIDE; x++) *(VECTOR *)(points + (y * SIDE + x) * point) = m[x];
    }
}

// Maps the gradient of a tile's maximum.
CONVOY_INLINE void MAP(pooled_gradient)(const float *gradient, const int32_t *choice,
                                        float *points, ptrdiff_t point) {
    const VECTOR value = *(const VECTOR *)gradient;
    const INTS where = *(const INTS *)choice;
    VECTOR g[4];
    CONVOY_UNROLL
    for (int i = 0; i < 4; i++) g[i] = where == (INTS)(i) ? value : (VECTOR)(0.0f);
    MAP(gradient_points)(g, points, point);
}

// Computes B v B'.
CONVOY_INLINE void MAP(input_gradient_values)(const float *points, ptrdiff_t point,
                                              VECTOR d[SIDE][SIDE]) {
    VECTOR columns[SIDE][SIDE];
    CONVOY_UNROLL
    for (int x = 0; x < SIDE; x++) {
        VECTOR v[SIDE];
        MAP(load_points)(points, point, x, v);
        MAP(map_input_gradient)(v, columns[x]);
    }
    CONVOY_UNROLL
    for (int y = 0; y < SIDE; y++) {
        const VECTOR row[SIDE] = {columns[0][y], columns[1][y], columns[2][y], columns[3][y]};
        MAP(map_input_gradient)(row, d[y]);
    }
}
