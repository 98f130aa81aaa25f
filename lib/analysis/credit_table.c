/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "lib/analysis/credit_op.h"

/* Whether a word stands in a text of words. */
static bool has_word(const char *words, const char *word, size_t n)
{
    while (*words != '\0') {
        const size_t length = strcspn(words, " ");
        if (length == n && memcmp(words, word, n) == 0) {
            return true;
        }
        words += length;
        words += strspn(words, " ");
    }
    return false;
}

static const struct credit_rule *find_exactly(const char *word, size_t n)
{
    const struct credit_rule *const tables[] = {
        credit_rules_pointwise,
        credit_rules_shape,
        credit_rules_linear,
        credit_rules_reduce,
        credit_rules_softmax,
        credit_rules_norm,
        credit_rules_conv,
        credit_rules_pool,
        credit_rules_loss,
        credit_rules_nll,
        credit_rules_choice,
        credit_rules_attention,
        credit_rules_rnn,
        credit_rules_cell,
        credit_rules_factors,
        credit_rules_links,
        credit_rules_running,
        credit_rules_grid,
        credit_rules_bag,
        credit_rules_distance,
        credit_rules_margin,
        credit_rules_scatter,
        credit_rules_ctc,
    };
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        for (const struct credit_rule *rule = tables[i]; rule->names != NULL; rule++) {
            if (has_word(rule->names, word, n)) {
                return rule;
            }
        }
    }
    return NULL;
}

const struct credit_rule *credit_rule_find(const char *name)
{
    if (strncmp(name, "aten", 4) == 0) {
        name += 4 + strspn(name + 4, ".:");
    }
    const size_t n =
        strcspn(name, "."); /* ".Tensor" says which kinds of arguments it took */
    const struct credit_rule *rule = find_exactly(name, n);
    if (rule == NULL && n > 1 && name[n - 1] == '_') {
        rule = find_exactly(name, n - 1);
    }
    return rule;
}
