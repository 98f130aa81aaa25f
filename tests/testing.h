/* SPDX-License-Identifier: Apache-2.0 */
/* What every C test includes: cmocka and what cmocka needs before it, in this order. */
#ifndef BARO_TESTING_H
#define BARO_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Rounds of a random test: fewer under a sanitizer, where each takes 5 to 20 times as long. */
#ifdef __has_feature
#    if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#        define TEST_IS_SANITIZED 1
#    endif
#endif
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__ || defined TEST_IS_SANITIZED
#    define TEST_SPARSE 6
#else
#    define TEST_SPARSE 1
#endif
#define TEST_ROUNDS(n) (((n) + TEST_SPARSE - 1) / TEST_SPARSE)

/* Under ThreadSanitizer run only the cases whose names fit: for programs most of whose cases have
 * one thread, in which it has nothing to see. */
#ifdef __has_feature
#    if __has_feature(thread_sanitizer)
#        define TEST_THREADS_ONLY(pattern) cmocka_set_test_filter(pattern)
#    endif
#endif
#ifndef TEST_THREADS_ONLY
#    define TEST_THREADS_ONLY(pattern) ((void)(pattern))
#endif

#endif
