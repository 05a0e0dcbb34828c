a
b ❯
c