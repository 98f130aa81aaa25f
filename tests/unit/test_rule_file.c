/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/testing.h"

#include <stdio.h>
#include <string.h>

#include "lib/alarm/rule_file.h"
#include "lib/analysis/rule.h"
#include "lib/base/mem.h"

/* The rules file: what it sets, and one clear sentence with its line for all that is wrong. */

struct remarks {
    size_t n;
    char last[512];
};

static void on_remark(const char *sentence, void *payload)
{
    struct remarks *remarks = payload;
    remarks->n++;
    (void)snprintf(remarks->last, sizeof remarks->last, "%s", sentence);
}

static void a_file_switches_tunes_and_adds(void **state)
{
    static const char text[] = "# quiet\r\n"
                               "quiet_steps = 500\n"
                               "\n"
                               "[loss_spike]\n"
                               "  min_score=12  \n"
                               "[nonfinite]\n"
                               "on = no\n"
                               "[nonfinite on decoder.*:act]\n"
                               "on = yes\n"
                               "[new kl_too_high]\n"
                               "series = train/kl[ab]*\n"
                               "test = above\n"
                               "limit = 5\n"
                               "times = 3\n"
                               "level = alarm\n"
                               "text = look at beta"; /* no newline at the end */
    struct rule_book *book = rule_book_default();
    struct remarks remarks = {0};
    struct baro_err err = {0};
    assert_int_equal(
        rule_file_parse("r", text, sizeof text - 1, book, on_remark, &remarks, &err), 0);
    assert_int_equal(book->quiet_steps, 500);
    int spike = rule_find("loss_spike");
    int at = rule_find_param(rule_table[spike], "min_score");
    assert_true(book->params[spike][at] == 12.0);
    assert_false(book->is_on[rule_find("nonfinite")]);
    assert_int_equal(book->n_overrides, 1);
    assert_string_equal(book->overrides[0].glob, "decoder.*:act");
    assert_true(book->overrides[0].is_on);
    assert_int_equal(book->n_customs, 1);
    assert_string_equal(book->customs[0].name, "kl_too_high");
    assert_string_equal(book->customs[0].glob, "train/kl[ab]*");
    assert_int_equal(book->customs[0].test, RULE_ABOVE);
    assert_int_equal(book->customs[0].n_times, 3);
    assert_int_equal(book->customs[0].level, BARO_ALARM);
    assert_string_equal(book->customs[0].text, "look at beta");
    assert_int_equal(remarks.n, 0);
    rule_book_destroy(book);
}

static void each_fault_is_one_sentence_with_its_line(void **state)
{
    static const struct {
        const char *text;
        const char *error;
    } cases[] = {
        {"[los_spike]\n", "r:1: there is no rule 'los_spike'; is it 'loss_spike'?"},
        {"\n[loss_spike]\nmin_scor = 3\n",
            "r:3: rule 'loss_spike' has no parameter 'min_scor'; is it 'min_score'?"},
        {"[loss_spike]\nmin_score = much\n", "r:2: min_score: 'much' is not a number"},
        {"[loss_spike]\nmin_score = nan\n", "r:2: min_score: 'nan' is not a number"},
        {"[loss_spike]\non = maybe\n", "r:2: on: 'maybe' is neither yes nor no"},
        {"[loss_spike]\non = no\non = yes\n",
            "r:3: on is set a second time; line 2 set it already"},
        {"[loss_spike]\non = no\n[loss_spike]\non = yes\n",
            "r:4: on is set a second time; line 2 set it already"},
        {"[loss_spike\n", "r:1: a section ends with ']'"},
        {"what\n", "r:1: 'what' is neither [rule] nor name = value"},
        {"quiet_step = 3\n",
            "r:1: there is no setting 'quiet_step' for all rules; is it 'quiet_steps'?"},
        {"quiet_steps = 1.5\n",
            "r:1: quiet_steps: '1.5' is not a whole number from 0 to 1000000000"},
        {"[new mine]\nseries = *\ntest = above\n", "r:1: the new rule 'mine' has no limit"},
        {"[new mine]\nseries =\ntest = above\nlimit = 1\n",
            "r:1: the series of the new rule 'mine' are empty: it would name nothing"},
        {"[new mine]\ntest = abovee\n",
            "r:2: test: 'abovee' is none of above, below, jump, drop, rise, fall, stuck; is it "
            "'above'?"},
        {"[new mine]\nserie = x\n",
            "r:2: a rule of your own has no 'serie'; is it 'series'?"},
        {"[new Mine]\nseries = x\ntest = above\nlimit = 1\n",
            "r:1: 'Mine' is no name for a rule; use a-z, 0-9 and _"},
        {"[new loss_spike]\nseries = x\ntest = above\nlimit = 1\n",
            "r:1: there is a rule 'loss_spike' already"},
        {"\xff\xfe\n", "r:1: this line is not UTF-8 text"},
    };
    for (size_t i = 0; i < BARO_LEN(cases); i++) {
        struct rule_book *book = rule_book_default();
        struct baro_err err = {0};
        assert_true(rule_file_parse("r", cases[i].text, strlen(cases[i].text), book, NULL,
                        NULL, &err) < 0);
        assert_string_equal(err.text, cases[i].error);
        rule_book_destroy(book);
    }
}

static void what_is_out_of_range_names_the_range(void **state)
{
    static const char text[] = "[loss_spike]\nmin_score = -1\n";
    struct rule_book *book = rule_book_default();
    struct baro_err err = {0};
    assert_true(rule_file_parse("r", text, sizeof text - 1, book, NULL, NULL, &err) < 0);
    assert_non_null(strstr(err.text, "r:2: min_score of rule 'loss_spike' must lie in"));
    rule_book_destroy(book);
}

static void what_has_no_effect_or_contradicts_is_remarked(void **state)
{
    static const struct {
        const char *text;
        const char *remark;
    } cases[] = {
        {"[loss_spike]\non = no\nmin_score = 9\n",
            "r:3: min_score has no effect: the rule 'loss_spike' is off"},
        {"[new high]\nseries = x\ntest = above\nlimit = 1\n"
         "[new low]\nseries = x\ntest = below\nlimit = 2\n",
            "r:5: 'high' and 'low' contradict each other: every value of x is above 1 or "
            "below 2"},
        {"[loss_spike on eval/a]\non = no\n[loss_spike on eval/*]\non = yes\n",
            "r:1: what is set here for 'eval/a' has no effect: line 3 sets it for 'eval/*'"},
        {"[update_size]\nmin_ratio = 0.5\n",
            "r:2: min_ratio 0.5 and max_ratio 0.2 contradict each other: every step is too "
            "small or too large"},
    };
    for (size_t i = 0; i < BARO_LEN(cases); i++) {
        struct rule_book *book = rule_book_default();
        struct remarks remarks = {0};
        assert_int_equal(rule_file_parse("r", cases[i].text, strlen(cases[i].text), book,
                             on_remark, &remarks, NULL),
            0);
        assert_int_equal(remarks.n, 1);
        assert_string_equal(remarks.last, cases[i].remark);
        rule_book_destroy(book);
    }
}

static void a_file_that_is_not_there_and_a_long_line_are_told(void **state)
{
    struct baro_err err = {0};
    assert_null(rule_file_read("/nowhere/rules", NULL, NULL, &err));
    assert_string_equal(err.text,
        "the rules file '/nowhere/rules' cannot be opened: No such file or directory");
    char text[3000];
    memset(text, 'x', sizeof text);
    struct rule_book *book = rule_book_default();
    assert_true(rule_file_parse("r", text, sizeof text, book, NULL, NULL, &err) < 0);
    assert_string_equal(err.text, "r:1: a line has at most 1023 bytes");
    rule_book_destroy(book);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_switches_tunes_and_adds),
        cmocka_unit_test(each_fault_is_one_sentence_with_its_line),
        cmocka_unit_test(what_is_out_of_range_names_the_range),
        cmocka_unit_test(what_has_no_effect_or_contradicts_is_remarked),
        cmocka_unit_test(a_file_that_is_not_there_and_a_long_line_are_told),
    };
    return cmocka_run_group_tests_name("rule_file", tests, NULL, NULL);
}
