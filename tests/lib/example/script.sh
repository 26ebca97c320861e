#!/bin/bash
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: the belay authors
set -euo pipefail
. tests/lib/tap.sh

check "true succeeds" true
check_output "echo prints its argument" '^hello$' echo hello
tap_done
