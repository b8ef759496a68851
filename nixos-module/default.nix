# Dubnium on NixOS: the options dubnium.*, and what they come to.
#
# Little is said here. Options, types, defaults and their words come from the programs' own
# definitions, through options.json (`make generate`); the units are rendered by the programs when
# the system is built. docs/reference/nixos-options.md lists every option.
{
  imports = [
    ./options.nix
    ./system.nix
    ./workloads.nix
    ./profiles.nix
    ./assertions.nix
  ];
}
