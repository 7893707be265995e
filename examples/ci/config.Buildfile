# The same step as in site, which runs once for both, and one more.
FROM scratch
COPY --chmod=644 index.html /srv/
COPY --chmod=600 app.conf /etc/app.conf
