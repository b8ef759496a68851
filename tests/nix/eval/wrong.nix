# Gives every option values that its type does not take, and says which of them pass; and its
# example, and says which of those do not.
let
  lib = import ./shim.nix;
  known = (builtins.fromJSON (builtins.readFile ../../../nixos-module/options.json)).options;

  bad = o: builtins.filter (v: !builtins.elem v (right o)) (
    {
      "bool" = [ "true" 1 ];
      "int" = [ "1" (o.max + 1) (o.min - 1) null ];
      "int or null" = [ "1" (o.max + 1) (o.min - 1) ];
      "list of ints" = [ 1 [ "1" ] [ (o.max + 1) ] ];
      "string" = [ 1 [ "a" ] null ] ++ lib.optional (o ? enum) "nonsense" ++ lib.optional (!o.empty) "";
      "string or null" = [ 1 "" ];
      "list of strings" = [ "a" [ 1 ] [ "" ] ] ++ lib.optional (o ? enum) [ "nonsense" ];
      "duration" = [ 5 "5" "soon" "1 s" "" ];
      "size" = [ 5 "4GB" "lots" "-1" ];
      "package" = [ "hello" null ];
      "package or null" = [ "hello" ];
      "path or null" = [ "relative" 1 ];
      "TOML value" = [ 1 "a" ];
    }
    .${o.type}
  );
  right = o: lib.optional (o.example != null) o.example;

  passes =
    o: value:
    let
      # One of many needs the others that have no default.
      single = builtins.replaceStrings [ "<name>" ] [ "demo" ];
      path = lib.splitString "." (single o.path);
      beside = builtins.filter (b: b != o && (b.required or false) && single o.path != o.path) known;
      config = (lib.evalModules {
        modules = [
          ./nixos.nix
          ../../../nixos-module/default.nix
          { dubnium = lib.setAttrByPath path value; }
        ]
        ++ map (b: { dubnium = lib.setAttrByPath (lib.splitString "." (single b.path)) b.example; }) beside;
        specialArgs.pkgs = import ./packages.nix {
          inherit lib;
          store = "/nix/store";
        };
      }).config.dubnium;
    in
    (builtins.tryEval (builtins.deepSeq (lib.getAttrFromPath path config) true)).success;
in
{
  tried = builtins.length (lib.concatMap bad known);
  accepted = lib.concatMap (o: map (v: "${o.path} = ${builtins.toJSON v}") (builtins.filter (passes o) (bad o))) known;
  right = lib.concatMap (o: lib.optional (!builtins.all (passes o) (right o)) o.path) known;
}
