# One layer, of a directory.
FROM scratch
COPY --chmod=644 index.html /srv/
LABEL org.opencontainers.image.title="site"
EXPOSE 80
