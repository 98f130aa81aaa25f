/* SPDX-License-Identifier: Apache-2.0 */
/* What libbaro.so shows to the programs that load it: the functions of baro.h and nothing else. */
#include "tests/testing.h"

#include <stdbool.h>
#include <unistd.h>

static const char *const expected[] = {"baro_batch", "baro_close", "baro_declare_scalar",
    "baro_declare_tensor", "baro_due", "baro_event", "baro_fail", "baro_news", "baro_open",
    "baro_ring_path", "baro_run_id", "baro_scalar", "baro_scalar_at", "baro_scalar_id",
    "baro_scalars", "baro_spent", "baro_stats", "baro_step", "baro_strerror",
    "baro_summary", "baro_summary_at", "baro_tensor", "baro_tensors", "baro_trouble",
    "baro_update", "baro_version"};
enum { N_EXPECTED = sizeof expected / sizeof expected[0] };

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

static void only_the_functions_of_baro_h_are_visible(void **state)
{
    char command[4200];
    char line[512];
    bool is_seen[N_EXPECTED] = {false};
    (void)snprintf(command, sizeof command, "nm -D --defined-only '%s'", library());
    FILE *list = popen(command, "r");
    assert_non_null(list);
    while (fgets(line, sizeof line, list) != NULL) {
        char kind = 0;
        char name[400] = "";
        assert_int_equal(sscanf(line, "%*s %c %399[^@\n ]", &kind, name), 2);
        if (kind == 'A' && strcmp(name, "BARO_0") == 0) {
            continue;
        }
        bool is_known = false;
        for (int i = 0; i < N_EXPECTED; i++) {
            if (strcmp(name, expected[i]) == 0) {
                is_seen[i] = true;
                is_known = true;
            }
        }
        if (!is_known) {
            fail_msg("libbaro.so shows %s", name);
        }
    }
    assert_int_equal(pclose(list), 0);
    for (int i = 0; i < N_EXPECTED; i++) {
        if (!is_seen[i]) {
            fail_msg("libbaro.so hides %s", expected[i]);
        }
    }
}

static void every_function_of_baro_h_is_expected_here(void **state)
{
    char path[4096];
    char line[512];
    int n = 0;
    const char *source = getenv("BARO_SOURCE_DIR");
    (void)snprintf(path, sizeof path, "%s/lib/push/baro.h", source != NULL ? source : ".");
    FILE *header = fopen(path, "r");
    assert_non_null(header);
    while (fgets(line, sizeof line, header) != NULL) {
        n += strncmp(line, "BARO_API ", 9) == 0;
    }
    (void)fclose(header);
    assert_int_equal(n, N_EXPECTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_functions_of_baro_h_are_visible),
        cmocka_unit_test(every_function_of_baro_h_is_expected_here),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
