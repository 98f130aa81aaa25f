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

#endif
