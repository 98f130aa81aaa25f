/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What programs that were built against libbaro rely on: the functions that the library shows, and
 * the layout of the structures of its headers. Both are compared with tests/unit/libbaro.abi, so
 * that no change of them goes unseen. On purpose changed: a function may be added, and a field at
 * the end of a structure that only libbaro fills or that BARO_OPTIONS_INIT zeroes; everything else
 * wants another soname. Then copy the file that the test names over the list.
 */
#include "tests/testing.h"

#include <stdbool.h>
#include <unistd.h>

#include "lib/push/baro.h"

enum { MAX_LINES = 400, LINE_BYTES = 100 };

struct list {
    char lines[MAX_LINES][LINE_BYTES];
    size_t n;
};

struct field {
    const char *name;
    size_t offset;
    size_t bytes;
};

#define FIELD(type, name)                                                                  \
    {                                                                                      \
#        name, offsetof(struct type, name), sizeof(((struct type *)NULL)->name)            \
    }

static const struct field err_fields[] = {FIELD(baro_err, code), FIELD(baro_err, text)};
static const struct field options_fields[] = {FIELD(baro_options, project),
    FIELD(baro_options, name), FIELD(baro_options, run_id), FIELD(baro_options, config),
    FIELD(baro_options, endpoint), FIELD(baro_options, mode), FIELD(baro_options, ring_dir),
    FIELD(baro_options, ring_bytes), FIELD(baro_options, resume),
    FIELD(baro_options, resume_step), FIELD(baro_options, rank),
    FIELD(baro_options, n_ranks), FIELD(baro_options, on_message),
    FIELD(baro_options, payload), FIELD(baro_options, budget),
    FIELD(baro_options, key_file), FIELD(baro_options, summarise),
    FIELD(baro_options, is_steerable)};
static const struct field tensor_fields[] = {FIELD(baro_tensor, name),
    FIELD(baro_tensor, role), FIELD(baro_tensor, dtype), FIELD(baro_tensor, n_dims),
    FIELD(baro_tensor, shape), FIELD(baro_tensor, strides), FIELD(baro_tensor, data),
    FIELD(baro_tensor, unit_axis), FIELD(baro_tensor, id)};
static const struct field summarised_fields[] = {FIELD(baro_summarised, count),
    FIELD(baro_summarised, n_nan), FIELD(baro_summarised, n_pos_inf),
    FIELD(baro_summarised, n_neg_inf), FIELD(baro_summarised, n_zero),
    FIELD(baro_summarised, min), FIELD(baro_summarised, max), FIELD(baro_summarised, mean),
    FIELD(baro_summarised, var), FIELD(baro_summarised, l1), FIELD(baro_summarised, l2),
    FIELD(baro_summarised, abs_max), FIELD(baro_summarised, first_bad_unit),
    FIELD(baro_summarised, first_bad_row), FIELD(baro_summarised, positive),
    FIELD(baro_summarised, negative), FIELD(baro_summarised, hist_every),
    FIELD(baro_summarised, unit_mean), FIELD(baro_summarised, unit_l2),
    FIELD(baro_summarised, unit_abs_max), FIELD(baro_summarised, unit_frac_zero),
    FIELD(baro_summarised, unit_n_nonfinite), FIELD(baro_summarised, update_ratio),
    FIELD(baro_summarised, unit_change)};
static const struct field stats_fields[] = {FIELD(baro_stats, n_pushed),
    FIELD(baro_stats, n_sent), FIELD(baro_stats, n_acked), FIELD(baro_stats, n_dropped),
    FIELD(baro_stats, n_bytes), FIELD(baro_stats, own_ns),
    FIELD(baro_stats, ring_used_bytes), FIELD(baro_stats, is_connected)};

static const struct field probe_options_fields[] = {FIELD(baro_probe_options, step),
    FIELD(baro_probe_options, reason), FIELD(baro_probe_options, n_batch),
    FIELD(baro_probe_options, n_rows), FIELD(baro_probe_options, rows),
    FIELD(baro_probe_options, max_bytes)};
static const struct field probe_value_fields[] = {FIELD(baro_probe_value, name),
    FIELD(baro_probe_value, kind), FIELD(baro_probe_value, dtype),
    FIELD(baro_probe_value, n_dims), FIELD(baro_probe_value, shape),
    FIELD(baro_probe_value, strides), FIELD(baro_probe_value, data),
    FIELD(baro_probe_value, batch_axis), FIELD(baro_probe_value, unit_axis),
    FIELD(baro_probe_value, keep)};
static const struct field probe_op_fields[] = {FIELD(baro_probe_op, name),
    FIELD(baro_probe_op, module), FIELD(baro_probe_op, source), FIELD(baro_probe_op, attrs),
    FIELD(baro_probe_op, is_backward), FIELD(baro_probe_op, n_inputs),
    FIELD(baro_probe_op, n_outputs), FIELD(baro_probe_op, inputs),
    FIELD(baro_probe_op, outputs)};
static const struct field probe_origin_fields[] = {FIELD(baro_probe_origin, op),
    FIELD(baro_probe_origin, value), FIELD(baro_probe_origin, is_gradient),
    FIELD(baro_probe_origin, is_replayed), FIELD(baro_probe_origin, is_exact),
    FIELD(baro_probe_origin, n_units), FIELD(baro_probe_origin, n_rows),
    FIELD(baro_probe_origin, units), FIELD(baro_probe_origin, rows),
    FIELD(baro_probe_origin, cause)};

static const struct {
    const char *name;
    size_t bytes;
    const struct field *fields;
    size_t n_fields;
} structs[] = {
    {"baro_err", sizeof(struct baro_err), err_fields, 2},
    {"baro_options", sizeof(struct baro_options), options_fields,
        sizeof options_fields / sizeof options_fields[0]},
    {"baro_tensor", sizeof(struct baro_tensor), tensor_fields,
        sizeof tensor_fields / sizeof tensor_fields[0]},
    {"baro_summarised", sizeof(struct baro_summarised), summarised_fields,
        sizeof summarised_fields / sizeof summarised_fields[0]},
    {"baro_stats", sizeof(struct baro_stats), stats_fields,
        sizeof stats_fields / sizeof stats_fields[0]},
    {"baro_probe_options", sizeof(struct baro_probe_options), probe_options_fields,
        sizeof probe_options_fields / sizeof probe_options_fields[0]},
    {"baro_probe_value", sizeof(struct baro_probe_value), probe_value_fields,
        sizeof probe_value_fields / sizeof probe_value_fields[0]},
    {"baro_probe_op", sizeof(struct baro_probe_op), probe_op_fields,
        sizeof probe_op_fields / sizeof probe_op_fields[0]},
    {"baro_probe_origin", sizeof(struct baro_probe_origin), probe_origin_fields,
        sizeof probe_origin_fields / sizeof probe_origin_fields[0]},
};

/* Enumerators that cross the interface: the last of each list, and what stands for none. */
static const struct {
    const char *name;
    long value;
} numbers[] = {{"BARO_DTYPE_END", BARO_DTYPE_END}, {"BARO_ROLE_END", BARO_ROLE_END},
    {"BARO_LEVEL_END", BARO_LEVEL_END}, {"BARO_NO_UNITS", BARO_NO_UNITS},
    {"BARO_MAX_DIMS", BARO_MAX_DIMS}, {"BARO_ECLOSED", BARO_ECLOSED}};

static char *next_line(struct list *list)
{
    assert_true(list->n < MAX_LINES);
    return list->lines[list->n++];
}

static const char *library(void)
{
    static char path[4096];
    const char *build = getenv("BARO_BUILD_DIR");
    (void)snprintf(
        path, sizeof path, "%s/lib/push/libbaro.so", build != NULL ? build : ".");
    if (access(path, R_OK) != 0) {
        print_message("# skipped: no %s\n", path);
        skip();
    }
    return path;
}

static void add_functions(struct list *list)
{
    char command[4200];
    char line[512];
    (void)snprintf(command, sizeof command,
        "LC_ALL=C; export LC_ALL; nm -D --defined-only '%s' | sort -k3", library());
    FILE *names = popen(command, "r");
    assert_non_null(names);
    while (fgets(line, sizeof line, names) != NULL) {
        char kind = 0;
        char name[80] = "";
        assert_int_equal(sscanf(line, "%*s %c %79[^@\n ]", &kind, name), 2);
        if (kind != 'A' || strcmp(name, "BARO_0") != 0) {
            (void)snprintf(next_line(list), LINE_BYTES, "%s %s",
                kind == 'T' ? "function" : "symbol", name);
        }
    }
    assert_int_equal(pclose(names), 0);
}

static void add_layouts(struct list *list)
{
    for (size_t i = 0; i < sizeof structs / sizeof structs[0]; i++) {
        (void)snprintf(next_line(list), LINE_BYTES, "struct %s %zu", structs[i].name,
            structs[i].bytes);
        for (size_t k = 0; k < structs[i].n_fields; k++) {
            const struct field *field = &structs[i].fields[k];
            (void)snprintf(next_line(list), LINE_BYTES, "  %s.%s %zu %zu", structs[i].name,
                field->name, field->offset, field->bytes);
        }
    }
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        (void)snprintf(next_line(list), LINE_BYTES, "number %s %ld", numbers[i].name,
            numbers[i].value);
    }
}

static void read_list(struct list *list)
{
    char path[4096];
    const char *source = getenv("BARO_SOURCE_DIR");
    (void)snprintf(
        path, sizeof path, "%s/tests/unit/libbaro.abi", source != NULL ? source : ".");
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    char line[LINE_BYTES];
    while (fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (line[0] != '#') {
            (void)snprintf(next_line(list), LINE_BYTES, "%s", line);
        }
    }
    (void)fclose(file);
}

/* Print the lines of a that b lacks; how many. */
static int tell_missing(const char *what, const struct list *a, const struct list *b)
{
    int n = 0;
    for (size_t i = 0; i < a->n; i++) {
        bool is_there = false;
        for (size_t k = 0; k < b->n; k++) {
            is_there = is_there || strcmp(a->lines[i], b->lines[k]) == 0;
        }
        if (!is_there) {
            print_message("# %s: %s\n", what, a->lines[i]);
            n++;
        }
    }
    return n;
}

static void write_list(const struct list *list)
{
    char path[4096];
    const char *build = getenv("BARO_BUILD_DIR");
    (void)snprintf(path, sizeof path, "%s/libbaro.abi", build != NULL ? build : ".");
    FILE *file = fopen(path, "w");
    if (file == NULL) {
        return;
    }
    (void)fputs(
        "# What programs built against libbaro rely on; see test_push_exports.c.\n"
        "# function NAME | struct NAME BYTES | STRUCT.FIELD OFFSET BYTES | number NAME "
        "VALUE\n",
        file);
    for (size_t i = 0; i < list->n; i++) {
        (void)fprintf(file, "%s\n", list->lines[i]);
    }
    (void)fclose(file);
    print_message("# as it is now: %s\n", path);
}

static void functions_and_layouts_are_those_on_record(void **state)
{
    static struct list now;
    static struct list recorded;
    if (sizeof(void *) != 8) {
        skip(); /* the list is of machines with pointers of 64 bits */
    }
    add_functions(&now);
    add_layouts(&now);
    read_list(&recorded);
    int n = tell_missing("is new", &now, &recorded);
    n += tell_missing("is gone", &recorded, &now);
    if (n > 0) {
        write_list(&now);
    }
    assert_int_equal(n, 0);
}

static void every_function_of_the_header_is_on_record(void **state)
{
    static struct list recorded;
    char path[4096];
    char line[512];
    int n = 0;
    int n_recorded = 0;
    const char *source = getenv("BARO_SOURCE_DIR");
    (void)snprintf(path, sizeof path, "%s/lib/push/baro.h", source != NULL ? source : ".");
    FILE *header = fopen(path, "r");
    assert_non_null(header);
    while (fgets(line, sizeof line, header) != NULL) {
        n += strncmp(line, "BARO_API ", 9) == 0;
    }
    (void)fclose(header);
    read_list(&recorded);
    for (size_t i = 0; i < recorded.n; i++) {
        n_recorded += strncmp(recorded.lines[i], "function ", 9) == 0;
    }
    assert_int_equal(n, n_recorded);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(functions_and_layouts_are_those_on_record),
        cmocka_unit_test(every_function_of_the_header_is_on_record),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
