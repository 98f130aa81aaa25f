/* SPDX-License-Identifier: Apache-2.0 */
/* Small text jobs: UTF-8, nearest names, globs, sizes for people. */
#ifndef BARO_TEXT_H
#define BARO_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Tell whether n bytes are valid UTF-8 without NUL. */
bool baro_utf8_valid(const char *text, size_t n);

/** Give the longest prefix length <= max that does not cut a UTF-8 character. */
size_t baro_utf8_prefix(const char *text, size_t n, size_t max);

/**
 * Copy text, replacing control characters and invalid UTF-8 by '?', so that it is safe to print.
 *
 * out      out_bytes > 0; always NUL-terminated
 */
void baro_text_safe(char *out, size_t out_bytes, const char *text);

/**
 * Append to a text; what does not fit is cut off behind a whole character.
 *
 * size     of all of text, NUL included
 */
__attribute__((format(printf, 3, 4))) void baro_text_add(
    char *text, size_t size, const char *format, ...);

/** As baro_text_add(). */
__attribute__((format(printf, 3, 0))) void baro_text_vadd(
    char *text, size_t size, const char *format, va_list args);

/**
 * Find the name nearest to a misspelt one (edit distance at most a third of its length).
 *
 * returns  an element of names, or NULL when nothing is near
 */
const char *baro_nearest(const char *wrong, const char *const *names, size_t n_names);

/** Match a shell-like glob: * ? [abc]; '*' also matches '/' and '.'. No recursion. */
bool baro_glob(const char *pattern, const char *text);

/**
 * Parse a size with an optional K, M, G or T (powers of 1024).
 *
 * returns  false when it is not a size
 */
bool baro_parse_size(const char *text, uint64_t *out_bytes);

/** Write bytes for people: "512 B", "3.4 MiB". Returns out. */
char *baro_format_bytes(uint64_t bytes, char *out, size_t out_bytes);

/** Write a duration for people: "4.2 s", "3 min", "2 h 10". Returns out. */
char *baro_format_duration(uint64_t ns, char *out, size_t out_bytes);

#endif
