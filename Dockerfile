# The operator's image: docker build -t keyslot .
FROM rust:1.95-bookworm AS build
# For aws-lc-rs.
RUN apt-get update && apt-get install --yes --no-install-recommends cmake clang
WORKDIR /source
COPY . .
RUN cargo build --release --locked -p keyslot-operator

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /source/target/release/keyslot-operator /usr/bin/keyslot-operator
USER 65532:65532
ENTRYPOINT ["/usr/bin/keyslot-operator"]
