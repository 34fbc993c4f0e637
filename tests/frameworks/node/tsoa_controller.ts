import { Body, Controller, Delete, Get, Path, Post, Put, Query, Response, Route, SuccessResponse, UploadedFile } from "tsoa";

// @ts-ignore
import { RESERVED, seen } from "./seen.mjs";

interface Owner {
  name: string;
  /** @isInt */
  age?: number | null;
}

interface Item {
  /**
   * @minLength 1
   * @maxLength 40
   */
  name: string;
  /**
   * @isInt
   * @minimum 0
   */
  quantity: number;
  price: number;
  /** @isDate */
  due: string;
  status?: "" | "draft" | "live";
  note?: string | null;
  owner?: Owner | null;
  tags?: string[];
}

@Route("items")
export class ItemsController extends Controller {
  /** @isInt limit */
  @Get()
  public async listItems(@Query("filter[name]") name?: string, @Query() limit?: number, @Query() tags?: string[]): Promise<number[]> {
    seen("list", { name, limit, tags });
    return [];
  }

  /** @isInt id */
  @Get("{id}")
  public async getItem(@Path() id: number): Promise<{ id: number }> {
    seen("get", { id });
    return { id };
  }

  @Post()
  @Response<{ message: string }>(422, "Refused")
  public async createItem(@Body() item: Item): Promise<{ id: number }> {
    if (item.name === "house") throw Object.assign(new Error(RESERVED), { status: 422 });
    seen("create", { item });
    return { id: 8 };
  }

  /** @isInt id */
  @Put("{id}")
  public async updateItem(@Path() id: number, @Body() item: Item): Promise<{ id: number }> {
    seen("update", { id, item });
    return { id };
  }

  /** @isInt id */
  @Delete("{id}")
  @SuccessResponse(204)
  public async deleteItem(@Path() id: number): Promise<void> {
    seen("delete", { id });
  }

  /** @isInt id */
  @Post("{id}/photo")
  public async uploadPhoto(@Path() id: number, @UploadedFile() photo: Express.Multer.File): Promise<{ bytes: number }> {
    seen("upload", { id, bytes: photo.size });
    return { bytes: photo.size };
  }
}
