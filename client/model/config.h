/* SPDX-License-Identifier: Apache-2.0 */
/* Settings of two runs: which of them differ. */
#ifndef CLIENT_MODEL_CONFIG_H
#define CLIENT_MODEL_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

enum { CONFIG_KEY_BYTES = 96, CONFIG_VALUE_BYTES = 64 };

/* One setting: "optimizer.lr", and what it is in each; "" where it is not given. */
struct config_pair {
    char key[CONFIG_KEY_BYTES];
    char a[CONFIG_VALUE_BYTES], b[CONFIG_VALUE_BYTES];
};

/**
 * Find the settings that differ between two configurations, JSON objects as runs are described by.
 *
 * a, b      text; what is no JSON object has no settings
 * out       max of them, by key; longer names and values end in "..."
 * out_same  settings that both have alike; NULL is fine
 * returns   how many differ, which may be more than max
 */
size_t config_differences(
    const char *a, const char *b, struct config_pair *out, size_t max, size_t *out_same);

#endif
