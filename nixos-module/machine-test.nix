# A NixOS test (`nix flake check`): a machine with the module comes up in its default mode, keeps
# its promises, and a rebuild in compute mode neither leaves the mode nor restarts vLLM.
{
  name = "dubnium";

  nodes.machine =
    { pkgs, ... }:
    {
      imports = [ ./default.nix ];
      dubnium = {
        enable = true;
        operators = [ "alice" ];
        vllm = {
          enable = true;
          model = "/var/lib/dubnium/models/test";
          runtime = "package";
          # Healthy at once, and with no request to wait for.
          package = pkgs.writeShellScriptBin "vllm" ''
            exec ${pkgs.python3}/bin/python3 ${./stand-in.py}
          '';
        };
        # A machine without people.
        guards.jobs.remoteSessions = "ignored";
        guards.memory.compute = "64MiB";
        guards.persistence.minFree = "0";
      };
      users.users.alice.isNormalUser = true;
      systemd.tmpfiles.rules = [
        "d /var/lib/dubnium/models/test 0755 root root -"
        "f /var/lib/dubnium/models/test/config.json 0644 root root - {}"
      ];
      specialisation.rebuilt.configuration.dubnium.vllm.extraArgs = [ "--enforce-eager" ];
    };

  testScript = ''
    machine.wait_for_unit("mode-observe.service")

    with subtest("it starts in the default mode"):
        machine.wait_until_succeeds("mode current --refresh | grep -qx desktop")
        machine.succeed("grep -qx desktop /run/mode-controller/desired")

    with subtest("the installation is whole"):
        machine.succeed("mode status", "man --where mode")
        machine.fail("test -e /run/systemd/generator/vllm.service")

    with subtest("an operator may ask for a mode"):
        machine.succeed("su - alice -c 'mode request compute'")
        machine.succeed("mode current --refresh | grep -qx compute")

    with subtest("a rebuild leaves the mode and vLLM alone"):
        before = machine.succeed("systemctl show -P MainPID vllm.service")
        machine.succeed("/run/booted-system/specialisation/rebuilt/bin/switch-to-configuration test")
        after = machine.succeed("systemctl show -P MainPID vllm.service")
        assert before == after, f"vLLM was restarted: {before} became {after}"
        machine.succeed("mode current --refresh | grep -qx compute")
        machine.succeed("systemctl cat vllm.service | grep -q enforce-eager")

    with subtest("and back"):
        machine.succeed("mode request desktop")
        machine.succeed("mode current --refresh | grep -qx desktop")
  '';
}
