# Defaults for kinds of machines. Everything here can be set otherwise.
{ config, lib, ... }:
let
  inherit (lib) mkDefault mkIf;
  cfg = config.dubnium.profiles;
in
{
  config.dubnium = lib.mkMerge [
    (mkIf cfg.workstation.enable {
      enable = mkDefault true;
      boot.defaultMode = mkDefault "desktop";
      tailscale.enable = mkDefault true;
    })
    (mkIf cfg.wsl.enable {
      enable = mkDefault true;
      boot.defaultMode = mkDefault "compute";
      desktop.loginUnits = mkDefault [ ];
      capabilityPlacement.studio = mkDefault "external-windows";
      k3s.enable = mkDefault false;
      memory.enable = mkDefault false;
      plano.enable = mkDefault false;
      vllm.enable = mkDefault false;
    })
  ];
}
