# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: the belay authors
#
# Reads one program's TAP (and lines of ours without a number), with -v name= and
# -v status= its exit status; prints "PASSED FAILED" and then one line per failure.
# Whatever is not a plain "ok" within the plan is a failure, a skip as well.

function fail(text) { failed++; reasons = reasons text "\n" }

/^1\.\.[0-9]+/ {
	plans++
	split($1, plan, "[.][.]")
	planned = plan[2]
	next
}
/^not ok - / { fail($0); for_failure = 1; next }
/^not ok/ { ran++; fail(held $0); held = ""; next }
/^ok/ && tolower($0) ~ /# *(skip|todo)/ { ran++; fail("skipped: " $0); held = ""; next }
/^ok/ { ran++; passed++; held = ""; next }
/^Bail out!/ { fail($0); next }
# Diagnostics stand before the test they belong to, or after a "not ok - ".
/^#/ { if (for_failure) reasons = reasons $0 "\n"; else held = held $0 "\n"; next }
{ held = held "| " $0 "\n" }

END {
	if (status == 124)
		fail(held "not ok - " name " did not end in time")
	else if (status >= 128)
		fail(held "not ok - " name " died by signal " status - 128)
	else if (!ran)
		fail(held "not ok - " name " gave no test line (exit status " status ")")
	else if (status != 0 && !failed)
		fail(held "not ok - " name " ended with status " status " although all tests passed")
	if (ran && plans != 1)
		fail("not ok - " name " has " plans + 0 " plan lines")
	else if (ran && planned != ran)
		fail("not ok - " name " planned " planned " tests and ran " ran)
	print passed + 0, failed + 0
	printf "%s", reasons
}
