# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: the belay authors
#
# awk -f man/example.awk PAGE: the first program that a page prints, for a compiler.
/^#(define|include)/ { on = 1 }
/^\.Ed/ { if (on) exit }
on {
	sub(/^\\&/, "")
	gsub(/\\-/, "-")
	gsub(/\\e/, "\\")
	print
}
