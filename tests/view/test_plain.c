/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers in sentences, as people write them. */
#include "tests/testing.h"

#include <string.h>

#include "client/model/plain.h"

static void check(const char *text, const char *expected)
{
    char out[200];
    assert_string_equal(plain_sentence(text, out, sizeof out), expected);
}

static void steps_have_separators_and_other_numbers_have_none(void **unused)
{
    (void)unused;
    check("Steps take 706 ms since step 1085, where 77.5 ms was usual.",
        "Steps take 706 ms since step 1,085, where 77.5 ms was usual.");
    check("steps 1000 to 12345678", "steps 1,000 to 12345678");
    check("flat for 200000 steps", "flat for 200,000 steps");
    check("step 999", "step 999");
    check("the batch held sample 57321", "the batch held sample 57321");
    check("since step 26488.", "since step 26,488.");
    check("misstep 26488", "misstep 26488");
}

static void powers_of_ten_are_written_out_or_short(void **unused)
{
    (void)unused;
    check("exploded to 8.18e+03, 1.77e+04 times (1e-05)",
        "exploded to 8,180, 17,700 times (1e-5)");
    check("up to -1.18e+24 and 3.4e+38.", "up to -1.18e24 and 3.4e38.");
    check("1e+06, 2.5e-12", "1e6, 2.5e-12");
    check("1.2345678e+03", "1.2345678e3"); /* no digit is lost */
    check("1e+0000000000003", "1e+0000000000003");
}

static void names_stay_as_they_are(void **unused)
{
    (void)unused;
    check("lr_1e+03 of run-1e+03a and layers.1e+03",
        "lr_1e+03 of run-1e+03a and layers.1e+03");
    check("größe1e+03 läuft", "größe1e+03 läuft");
    check("logs/1e+03/x", "logs/1e+03/x");
    check("", "");
}

static void what_is_too_long_ends_with_a_whole_character(void **unused)
{
    (void)unused;
    char out[8];
    assert_string_equal(plain_sentence("abcdefö!", out, sizeof out), "abcdef");
    assert_string_equal(plain_sentence("a step 26488", out, sizeof out), "a step ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_have_separators_and_other_numbers_have_none),
        cmocka_unit_test(powers_of_ten_are_written_out_or_short),
        cmocka_unit_test(names_stay_as_they_are),
        cmocka_unit_test(what_is_too_long_ends_with_a_whole_character),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
