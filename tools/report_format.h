/* SPDX-License-Identifier: Apache-2.0 */
/* Which form of report is wanted; for baro report and the program that draws it. */
#ifndef BARO_TOOLS_REPORT_FORMAT_H
#define BARO_TOOLS_REPORT_FORMAT_H

#include "tools/cli.h"

enum report_format { REPORT_HTML = 1, REPORT_PNG, REPORT_PDF };

/** Find the form by the ending of --output. Returns CLI_OK, CLI_USAGE after saying what is wrong. */
int report_format_of(const struct cli *cli, enum report_format *out);

#endif
