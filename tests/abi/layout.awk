# SPDX-License-Identifier: GPL-2.0-or-later
#
# From colo.h a C program that prints what programs compiled against it have
# taken in: sizes, fields with type, offset and size, numbers of constants.
BEGIN {
    print "#include <colo.h>\n#include <stddef.h>\n#include <stdio.h>"
    print "int main(void)\n{"
}

{
    # comments, also those over several lines
    while (match($0, /\/\*([^*]|\*+[^*\/])*\*+\//))
        $0 = substr($0, 1, RSTART - 1) " " substr($0, RSTART + RLENGTH)
    if (comment) {
        if (!match($0, /\*\//))
            next
        $0 = substr($0, RSTART + 2)
        comment = 0
    }
    if (match($0, /\/\*/)) {
        $0 = substr($0, 1, RSTART - 1)
        comment = 1
    }
}

/^#define COLO_[A-Z0-9_]+ +\(?-?[0-9]/ {
    printf "    printf(\"constant %s %%lld\\n\", (long long)%s);\n", $2, $2
}

/^struct colo_[a-z0-9_]+ \{/ {
    name = $2
    body = ""
    printf "    printf(\"struct %s %%zu\\n\", sizeof(struct %s));\n", name, name
    next
}

name && /^\};/ {
    n = split(body, declaration, ";")
    for (i = 1; i <= n; i++)
        fields(declaration[i])
    name = ""
}

name { body = body " " $0 }

function fields(text,    parts, count, j, field, type)
{
    gsub(/[ \t]+/, " ", text)
    if (text !~ /[a-z]/)
        return
    count = split(text, parts, ",")
    for (j = 1; j <= count; j++) {
        field = parts[j]
        sub(/\[.*/, "", field)
        sub(/ *$/, "", field)
        match(field, /[a-z0-9_]+$/)
        if (j == 1) {
            type = substr(field, 2, RSTART - 2)
            sub(/ $/, "", type)
            gsub(/ \*/, "*", type)
            gsub(/ /, "-", type)
        }
        field = substr(field, RSTART)
        printf "    printf(\"field %s.%s %s %%zu %%zu\\n\", " \
               "offsetof(struct %s, %s), sizeof(((struct %s *)0)->%s));\n",
               name, field, type, name, field, name, field
    }
}

END { print "    return 0;\n}" }
