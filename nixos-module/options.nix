# The options, from options.json, and /etc/dubnium/dubnium.toml's content from their values.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkDefault mkOption types;
  cfg = config.dubnium;

  known = builtins.fromJSON (builtins.readFile ./options.json);
  pathOf = o: lib.splitString "." o.path;

  # Options with "<name>" in their path are those of one table of many, each of which has a name
  # of the user's own: an attribute set of submodules.
  isOfMany = o: lib.elem "<name>" (pathOf o);
  single = builtins.filter (o: !isOfMany o) known.options;
  # tables gives the options of each such set, by the path of the set.
  tables = builtins.groupBy (o: lib.removeSuffix ".<name>.${lastOf o}" o.path) (
    builtins.filter isOfMany known.options
  );
  lastOf = o: builtins.elemAt (pathOf o) (builtins.length (pathOf o) - 1);

  string =
    o:
    if o ? enum then
      types.enum (o.enum ++ lib.optional o.empty "")
    else if o.empty then
      types.str
    else
      types.nonEmptyStr;
  int = o: if o.max > o.min then types.ints.between o.min o.max else types.int;

  # What the file's reader takes, as far as a type can say it. The rest it looks at when the
  # system is built.
  typeOf = {
    "bool" = _: types.bool;
    "int" = int;
    "int or null" = o: types.nullOr (int o);
    "list of ints" = o: types.listOf (int o);
    "string" = string;
    "string or null" = _: types.nullOr types.nonEmptyStr;
    "list of strings" = o: types.listOf (string (o // { empty = false; }));
    "duration" = _: types.strMatching "0s?|([0-9]+([.][0-9]+)?(ns|us|ms|s|m|h))+";
    "size" = o: types.strMatching ("[0-9]+( ?[KMGT]iB)?" + lib.optionalString o.empty "|");
    "package" = _: types.package;
    "package or null" = _: types.nullOr types.package;
    "path or null" = _: types.nullOr types.path;
    "TOML value" = _: types.submodule { freeformType = (pkgs.formats.toml { }).type; };
  };

  # Defaults that rest on other options, or on the package set.
  computed = {
    "package" = pkgs.callPackage ./package.nix { };
    "desktop.loginUnits" =
      lib.optional config.services.greetd.enable "greetd.service"
      ++ lib.optional (
        config.services.displayManager.enable && !config.services.greetd.enable
      ) "display-manager.service";
    "vllm.python" = pkgs.python312;
    # Wheels find each other's libraries below their own folders, and the system's nowhere.
    "vllm.ldLibraryPath" =
      let
        site = "${cfg.vllm.runtimePath}/${cfg.vllm.python.sitePackages}";
        cuda = map (name: "${site}/nvidia/${name}/lib") [
          "cublas"
          "cuda_cupti"
          "cuda_nvrtc"
          "cuda_runtime"
          "cudnn"
          "cufft"
          "curand"
          "cusolver"
          "cusparse"
          "cusparselt"
          "nccl"
          "nvjitlink"
          "nvtx"
        ];
      in
      [
        "/run/opengl-driver/lib"
        "${lib.getLib pkgs.stdenv.cc.cc}/lib"
        "${lib.getLib pkgs.zlib}/lib"
        "${site}/torch/lib"
      ]
      ++ cuda;
  };

  option =
    o:
    mkOption (
      {
        type = typeOf.${o.type} o;
        description = o.doc;
      }
      // lib.optionalAttrs (!(o.required or false)) { default = computed.${o.path} or o.default; }
      // lib.optionalAttrs (o ? default_text) { defaultText = lib.literalMD o.default_text; }
      // lib.optionalAttrs (o.example != null) { inherit (o) example; }
    );

  table =
    options:
    mkOption {
      type = types.attrsOf (
        types.submodule {
          options = builtins.listToAttrs (map (o: lib.nameValuePair (lastOf o) (option o)) options);
        }
      );
      default = { };
      description = "The tables of this kind, by their names.";
    };

  valueOf =
    o:
    let
      value = lib.getAttrFromPath (pathOf o) cfg;
    in
    lib.optionalAttrs (value != null) (lib.setAttrByPath (pathOf o) (mkDefault value));
  valueOfTable =
    path: options:
    lib.setAttrByPath (lib.splitString "." path) (
      mkDefault (
        builtins.mapAttrs (
          _: values: lib.filterAttrs (_: v: v != null) (lib.genAttrs (map lastOf options) (n: values.${n}))
        ) (lib.getAttrFromPath (lib.splitString "." path) cfg)
      )
    );
in
{
  options.dubnium = lib.foldl' lib.recursiveUpdate { } (
    map (o: lib.setAttrByPath (pathOf o) (option o)) single
    ++ map (path: lib.setAttrByPath (lib.splitString "." path) (table tables.${path})) (
      builtins.attrNames tables
    )
  );

  # A key that is null is left out: the file has no null, and the reader's default holds.
  config.dubnium.settings = lib.mkMerge (
    map valueOf (builtins.filter (o: o.key) single)
    ++ map (path: valueOfTable path tables.${path}) (builtins.attrNames tables)
  );
}
