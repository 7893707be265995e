# Two stages side by side, and one that takes a part of each.
FROM scratch AS pages
COPY index.html /out/index.html
COPY app.conf /not-in-the-image

FROM scratch AS settings
COPY app.conf /out/app.conf

FROM scratch
COPY --from=pages /out /srv
COPY --from=settings /out /etc
