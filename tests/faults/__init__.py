# SPDX-License-Identifier: Apache-2.0
"""The benchmark of the alarm: trainings that are healthy, trainings with one known fault, and how
soon, how rightly and how quietly Barograph's rules tell them apart. The command is tools/faults;
docs/RULES.md tells what it measures."""
