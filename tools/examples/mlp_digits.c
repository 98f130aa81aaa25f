/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A training loop in plain C that is watched by Barograph: a multilayer perceptron learns to
 * read handwritten digits, by stochastic gradient descent with momentum on the softmax
 * cross-entropy. It uses libbaro and the C library, nothing else.
 *
 *     tools/examples/export_digits.py digits.bin      (once; needs scikit-learn)
 *     mlp_digits digits.bin
 *
 * What is Barograph's is marked with "baro:". The losses are the same bit for bit with and
 * without it; the checksum at the end shows that.
 */
#include <baro.h>

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    N_PIXELS = 64,
    N_CLASSES = 10,
    N_HIDDEN_1 = 96,
    N_HIDDEN_2 = 48,
    N_LAYERS = 3,
    BATCH = 64,
    MAX_IMAGES = 100000,
    HELD_OUT = 5, /* every fifth image is for testing */
    CLOSE_MS = 3000
};
static const float LEARNING_RATE = 0.05F;
static const float MOMENTUM = 0.9F;

static const int sizes[N_LAYERS + 1] = {N_PIXELS, N_HIDDEN_1, N_HIDDEN_2, N_CLASSES};
static const char *const layer_names[N_LAYERS] = {"fc1", "fc2", "head"};

/* One fully connected layer: out = in * weight' + bias, ReLU after all but the last. */
struct layer {
    int n_in;
    int n_out;
    float *weight; /* n_out x n_in, row-major, as all below */
    float *bias;   /* n_out */
    float *grad_weight;
    float *grad_bias;
    float *speed_weight; /* what momentum keeps */
    float *speed_bias;
    float *out;      /* BATCH x n_out: activations of the current batch */
    float *grad_out; /* BATCH x n_out */
    int64_t ids[4];  /* baro: weight, its gradient, activation, its gradient */
};

struct digits {
    int n_images;
    float *pixels;   /* n_images x N_PIXELS, 0 to 1 */
    uint8_t *labels; /* n_images */
};

struct options {
    const char *path;
    long n_steps;
    unsigned long seed;
    int has_baro;
};

/* splitmix64: the same numbers on every machine. */
static uint64_t random_state;
static uint64_t random_bits(void)
{
    random_state += 0x9E3779B97F4A7C15U;
    uint64_t x = random_state;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9U;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBU;
    return x ^ (x >> 31);
}

static float random_unit(void)
{
    return (float)(random_bits() >> 40) * 0x1p-24F;
}

static void *allocate(size_t n, size_t bytes)
{
    void *memory = calloc(n, bytes);
    if (memory == NULL) {
        (void)fprintf(stderr, "mlp_digits: out of memory\n");
        exit(1);
    }
    return memory;
}

/* ---- data ---- */

static int load(struct digits *digits, const char *path)
{
    FILE *file = fopen(path, "rb");
    unsigned char head[16];
    if (file == NULL) {
        (void)fprintf(stderr, "mlp_digits: %s: %s\n", path, strerror(errno));
        return -1;
    }
    int is_good = fread(head, 1, sizeof head, file) == sizeof head &&
                  memcmp(head, "DIGITS01", 8) == 0;
    uint32_t n = 0;
    uint32_t n_pixels = 0;
    memcpy(&n, head + 8, 4);
    memcpy(&n_pixels, head + 12, 4);
    is_good = is_good && n >= 2 * BATCH && n <= MAX_IMAGES && n_pixels == N_PIXELS;
    if (is_good) {
        uint8_t *raw = allocate(n, N_PIXELS);
        digits->n_images = (int)n;
        digits->pixels = allocate((size_t)n * N_PIXELS, sizeof(float));
        digits->labels = allocate(n, 1);
        is_good =
            fread(raw, N_PIXELS, n, file) == n && fread(digits->labels, 1, n, file) == n;
        for (size_t i = 0; i < (size_t)n * N_PIXELS; i++) {
            digits->pixels[i] = (float)raw[i] / 16.0F;
        }
        for (size_t i = 0; is_good && i < n; i++) {
            is_good = digits->labels[i] < N_CLASSES;
        }
        free(raw);
    }
    (void)fclose(file);
    if (!is_good) {
        (void)fprintf(stderr,
            "mlp_digits: %s is not a file of digits; make one with export_digits.py\n",
            path);
    }
    return is_good ? 0 : -1;
}

/* ---- the network ---- */

static void create_layers(struct layer *layers)
{
    for (int l = 0; l < N_LAYERS; l++) {
        struct layer *layer = &layers[l];
        layer->n_in = sizes[l];
        layer->n_out = sizes[l + 1];
        size_t n = (size_t)layer->n_in * (size_t)layer->n_out;
        size_t n_out = (size_t)layer->n_out;
        layer->weight = allocate(n, sizeof(float));
        layer->grad_weight = allocate(n, sizeof(float));
        layer->speed_weight = allocate(n, sizeof(float));
        layer->bias = allocate(n_out, sizeof(float));
        layer->grad_bias = allocate(n_out, sizeof(float));
        layer->speed_bias = allocate(n_out, sizeof(float));
        layer->out = allocate(BATCH * n_out, sizeof(float));
        layer->grad_out = allocate(BATCH * n_out, sizeof(float));
        float range = sqrtf(6.0F / (float)layer->n_in); /* He's rule for ReLU */
        for (size_t i = 0; i < n; i++) {
            layer->weight[i] = (2.0F * random_unit() - 1.0F) * range;
        }
    }
}

static void destroy_layers(struct layer *layers)
{
    for (int l = 0; l < N_LAYERS; l++) {
        free(layers[l].weight);
        free(layers[l].grad_weight);
        free(layers[l].speed_weight);
        free(layers[l].bias);
        free(layers[l].grad_bias);
        free(layers[l].speed_bias);
        free(layers[l].out);
        free(layers[l].grad_out);
    }
}

static void layer_forward(struct layer *layer, const float *in, int n_rows, int has_relu)
{
    for (int r = 0; r < n_rows; r++) {
        const float *x = in + r * layer->n_in;
        for (int o = 0; o < layer->n_out; o++) {
            const float *w = layer->weight + o * layer->n_in;
            float sum = layer->bias[o];
            for (int i = 0; i < layer->n_in; i++) {
                sum += w[i] * x[i];
            }
            layer->out[r * layer->n_out + o] = has_relu && sum < 0.0F ? 0.0F : sum;
        }
    }
}

static void forward(struct layer *layers, const float *in, int n_rows)
{
    for (int l = 0; l < N_LAYERS; l++) {
        layer_forward(&layers[l], in, n_rows, l + 1 < N_LAYERS);
        in = layers[l].out;
    }
}

/* Softmax cross-entropy: gives the mean loss, counts hits, leaves the gradient of the logits. */
static double loss_of(struct layer *head, const uint8_t *labels, int n_rows, int *out_hits)
{
    double loss = 0.0;
    *out_hits = 0;
    for (int r = 0; r < n_rows; r++) {
        const float *z = head->out + r * N_CLASSES;
        float *g = head->grad_out + r * N_CLASSES;
        int best = 0;
        for (int c = 1; c < N_CLASSES; c++) {
            best = z[c] > z[best] ? c : best;
        }
        float sum = 0.0F;
        for (int c = 0; c < N_CLASSES; c++) {
            g[c] = expf(z[c] - z[best]);
            sum += g[c];
        }
        loss += (double)(logf(sum) - (z[labels[r]] - z[best]));
        *out_hits += best == labels[r];
        for (int c = 0; c < N_CLASSES; c++) {
            g[c] = (g[c] / sum - (c == labels[r] ? 1.0F : 0.0F)) / (float)n_rows;
        }
    }
    return loss / n_rows;
}

/* Gradients of one layer from grad_out; in_grad, unless NULL, gets the layer below's. */
static void layer_backward(struct layer *layer, const float *in, float *in_grad)
{
    memset(
        layer->grad_weight, 0, (size_t)layer->n_in * (size_t)layer->n_out * sizeof(float));
    memset(layer->grad_bias, 0, (size_t)layer->n_out * sizeof(float));
    for (int r = 0; r < BATCH; r++) {
        const float *x = in + r * layer->n_in;
        const float *g = layer->grad_out + r * layer->n_out;
        for (int o = 0; o < layer->n_out; o++) {
            float *dw = layer->grad_weight + o * layer->n_in;
            layer->grad_bias[o] += g[o];
            for (int i = 0; i < layer->n_in; i++) {
                dw[i] += g[o] * x[i];
            }
        }
        for (int i = 0; in_grad != NULL && i < layer->n_in; i++) {
            float sum = 0.0F;
            for (int o = 0; o < layer->n_out; o++) {
                sum += g[o] * layer->weight[o * layer->n_in + i];
            }
            in_grad[r * layer->n_in + i] = x[i] > 0.0F ? sum : 0.0F; /* through the ReLU */
        }
    }
}

static void backward(struct layer *layers, const float *in)
{
    for (int l = N_LAYERS - 1; l >= 0; l--) {
        layer_backward(&layers[l], l > 0 ? layers[l - 1].out : in,
            l > 0 ? layers[l - 1].grad_out : NULL);
    }
}

static void descend(float *value, const float *grad, float *speed, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        speed[i] = MOMENTUM * speed[i] - LEARNING_RATE * grad[i];
        value[i] += speed[i];
    }
}

static void update(struct layer *layers)
{
    for (int l = 0; l < N_LAYERS; l++) {
        struct layer *layer = &layers[l];
        size_t n_out = (size_t)layer->n_out;
        descend(layer->weight, layer->grad_weight, layer->speed_weight,
            n_out * (size_t)layer->n_in);
        descend(layer->bias, layer->grad_bias, layer->speed_bias, n_out);
    }
}

/* ---- baro: what is watched ---- */

static struct baro_tensor tensor_of(
    const char *name, enum baro_role role, const float *data, const int64_t *shape)
{
    struct baro_tensor tensor = {0};
    tensor.name = name;
    tensor.role = role;
    tensor.dtype = BARO_F32;
    tensor.n_dims = 2;
    tensor.shape = shape;
    tensor.data = data;
    /* A unit is a row of the weights, and a column of the activations. */
    tensor.unit_axis = role == BARO_ACT || role == BARO_ACT_GRAD ? 1 : 0;
    return tensor;
}

/* Push the four tensors of each layer; the first time they are declared. */
static void watch(struct baro_run *run, struct layer *layers)
{
    for (int l = 0; l < N_LAYERS; l++) {
        struct layer *layer = &layers[l];
        char weight[32];
        const int64_t matrix[2] = {layer->n_out, layer->n_in};
        const int64_t batch[2] = {BATCH, layer->n_out};
        (void)snprintf(weight, sizeof weight, "%s.weight", layer_names[l]);
        struct baro_tensor tensors[4] = {
            tensor_of(weight, BARO_WEIGHT, layer->weight, matrix),
            tensor_of(weight, BARO_GRAD, layer->grad_weight, matrix),
            tensor_of(layer_names[l], BARO_ACT, layer->out, batch),
            tensor_of(layer_names[l], BARO_ACT_GRAD, layer->grad_out, batch)};
        for (int i = 0; i < 4; i++) {
            if (layer->ids[i] <= 0) {
                layer->ids[i] = baro_declare_tensor(run, &tensors[i]);
            }
            tensors[i].id = layer->ids[i] > 0 ? (uint32_t)layer->ids[i] : 0;
        }
        (void)baro_tensors(run, tensors, 4);
    }
}

/* ---- training ---- */

static double test_accuracy(struct layer *layers, const struct digits *digits)
{
    float in[BATCH * N_PIXELS];
    uint8_t labels[BATCH];
    int n_rows = 0;
    int n_tested = 0;
    int n_hits = 0;
    for (int i = 0; i < digits->n_images; i++) {
        if (i % HELD_OUT == 0) {
            memcpy(in + n_rows * N_PIXELS, digits->pixels + i * N_PIXELS,
                N_PIXELS * sizeof(float));
            labels[n_rows++] = digits->labels[i];
        }
        if (n_rows == BATCH || (i + 1 == digits->n_images && n_rows > 0)) {
            int hits = 0;
            forward(layers, in, n_rows);
            (void)loss_of(&layers[N_LAYERS - 1], labels, n_rows, &hits);
            n_hits += hits;
            n_tested += n_rows;
            n_rows = 0;
        }
    }
    return (double)n_hits / n_tested;
}

/* Choose a batch among the training images. */
static void choose_batch(
    const struct digits *digits, float *in, uint8_t *labels, int64_t *samples)
{
    for (int r = 0; r < BATCH; r++) {
        int i = 0;
        while (i % HELD_OUT == 0) {
            i = (int)(random_bits() % (uint64_t)digits->n_images);
        }
        memcpy(in + r * N_PIXELS, digits->pixels + i * N_PIXELS, N_PIXELS * sizeof(float));
        labels[r] = digits->labels[i];
        samples[r] = i;
    }
}

static uint64_t train(
    struct baro_run *run, struct layer *layers, const struct digits *digits, long n_steps)
{
    float in[BATCH * N_PIXELS];
    uint8_t labels[BATCH];
    int64_t samples[BATCH];
    uint64_t checksum = 0xCBF29CE484222325U;
    for (long step = 0; step < n_steps; step++) {
        int hits = 0;
        (void)baro_step(run, step); /* baro: a step begins */
        choose_batch(digits, in, labels, samples);
        forward(layers, in, BATCH);
        double loss = loss_of(&layers[N_LAYERS - 1], labels, BATCH, &hits);
        backward(layers, in);
        (void)baro_scalar(
            run, "loss", loss); /* baro: from here on; order does not matter */
        (void)baro_scalar(run, "accuracy", (double)hits / BATCH);
        (void)baro_scalar(run, "lr", (double)LEARNING_RATE);
        (void)baro_batch(run, samples, BATCH);
        watch(run, layers);
        update(layers);
        uint64_t bits;
        memcpy(&bits, &loss, sizeof bits);
        checksum = (checksum ^ bits) * 0x100000001B3U;
        if (step % 100 == 0 || step + 1 == n_steps) {
            (void)printf("step %4ld  loss %.4f\n", step, loss);
        }
    }
    return checksum;
}

static void on_message(const char *text, void *payload)
{
    (void)payload;
    (void)fprintf(stderr, "barograph: %s\n", text);
}

/* baro: a run that cannot be opened is NULL, and every call accepts that. */
static struct baro_run *open_run(const struct options *options)
{
    struct baro_options run_options = BARO_OPTIONS_INIT;
    struct baro_err err = {0};
    char config[160];
    (void)snprintf(config, sizeof config,
        "{\"steps\": %ld, \"seed\": %lu, \"batch\": %d, \"lr\": %.3f, \"momentum\": %.2f}",
        options->n_steps, options->seed, BATCH, (double)LEARNING_RATE, (double)MOMENTUM);
    run_options.project = "digits";
    run_options.config = config;
    run_options.on_message = on_message;
    struct baro_run *run = baro_open(&run_options, &err);
    if (run == NULL && err.code != 0) {
        (void)fprintf(stderr, "barograph: %s; training goes on without it\n", err.text);
    }
    return run;
}

static int usage(const char *complaint, const char *what)
{
    if (complaint != NULL) {
        (void)fprintf(stderr, "mlp_digits: %s '%s'; see --help\n", complaint, what);
        return 2;
    }
    (void)printf("usage: mlp_digits [--steps N] [--seed S] [--no-baro] DIGITS\n"
                 "  DIGITS     file made by export_digits.py\n"
                 "  --steps N  train for so many steps (600)\n"
                 "  --seed S   begin with other random numbers (1)\n"
                 "  --no-baro  do not open a run: the losses stay the same\n");
    return 0;
}

/* 0: go on; else the exit status plus one. */
static int parse(struct options *options, int n_arguments, char **arguments)
{
    for (int i = 1; i < n_arguments; i++) {
        const char *argument = arguments[i];
        int is_steps = strcmp(argument, "--steps") == 0;
        if (strcmp(argument, "--help") == 0) {
            return 1 + usage(NULL, NULL);
        }
        if (is_steps || strcmp(argument, "--seed") == 0) {
            char *end = NULL;
            long value = i + 1 < n_arguments ? strtol(arguments[i + 1], &end, 10) : -1;
            if (end == NULL || *end != '\0' || end == arguments[i + 1] || value < 0) {
                return 1 + usage("a number must follow", argument);
            }
            options->n_steps = is_steps ? value : options->n_steps;
            options->seed = is_steps ? options->seed : (unsigned long)value;
            i++;
        } else if (strcmp(argument, "--no-baro") == 0) {
            options->has_baro = 0;
        } else if (argument[0] == '-' || options->path != NULL) {
            return 1 + usage("unexpected", argument);
        } else {
            options->path = argument;
        }
    }
    return options->path != NULL ? 0 : 1 + usage("missing", "DIGITS");
}

int main(int n_arguments, char **arguments)
{
    struct options options = {.n_steps = 600, .seed = 1, .has_baro = 1};
    struct digits digits = {0};
    struct layer layers[N_LAYERS] = {0};
    int rc = parse(&options, n_arguments, arguments);
    if (rc != 0) {
        return rc - 1;
    }
    if (load(&digits, options.path) != 0) {
        return 1;
    }
    random_state = options.seed;
    create_layers(layers);
    struct baro_run *run = options.has_baro ? open_run(&options) : NULL;
    if (run != NULL) {
        (void)printf("run %s\n", baro_run_id(run));
    }
    uint64_t checksum = train(run, layers, &digits, options.n_steps);
    double accuracy = test_accuracy(layers, &digits);
    (void)baro_scalar(run, "test_accuracy", accuracy);
    (void)printf("test accuracy %.4f\nloss checksum %016llx\n", accuracy,
        (unsigned long long)checksum);
    if (baro_close(run, CLOSE_MS) != 0) { /* baro: bounded; the rest stays in the ring */
        (void)fprintf(stderr, "barograph: not all was sent; `baro recover` brings it in\n");
    }
    destroy_layers(layers);
    free(digits.pixels);
    free(digits.labels);
    return 0;
}
